"""The door: who may come in, and a line of the log for each request."""

from __future__ import annotations

import hmac
import time
from typing import Any

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tuner.serving.refusals import GONE, RefusedError

_NOTES = "tuner.notes"
_OPEN = ("/healthz",)
_log = structlog.get_logger("tuner.serving")


def noted(request: Request, **facts: Any) -> None:
    """Add facts to the request's line of the log. No text of a user's is ever one."""
    request.scope.setdefault(_NOTES, {}).update(facts)


class Door:
    """Checks the key and logs each request when its response is over."""

    def __init__(self, app: ASGIApp, api_key: str | None = None) -> None:
        self._app = app
        self._key = None if api_key is None else f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.monotonic(), [GONE]
        scope[_NOTES] = {}

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        try:
            await (self._app if self._may_enter(scope) else _no_key)(scope, receive, sent)
        except Exception:
            status[0] = 500
            raise
        finally:
            if not (scope["path"] in _OPEN and status[0] == 200):  # asked every few seconds, by machines
                _log.info("request", **_line(scope, status[0], time.monotonic() - start))

    def _may_enter(self, scope: Scope) -> bool:
        if self._key is None or scope["path"] in _OPEN:
            return True
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return hmac.compare_digest(given, self._key)


def _line(scope: Scope, status: int, seconds: float) -> dict[str, Any]:
    client = scope["client"][0] if scope.get("client") else None
    facts = {"method": scope["method"], "path": scope["path"], "status": status, "seconds": round(seconds, 4)}
    return {**facts, "client": client, **scope[_NOTES]}


async def _no_key(scope: Scope, receive: Receive, send: Send) -> None:
    error = RefusedError(
        401,
        "a key is needed, and this is not it: send the header Authorization: Bearer KEY",
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )
    await error.response()(scope, receive, send)
