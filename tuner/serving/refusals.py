"""What a request is refused with: OpenAI's error object, and the right status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

GONE = 499  # nobody is there to read it: for the log only


class RefusedError(Exception):
    """A request that is not answered. The message is one line that says why, and what would help."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.kind, self.headers = kind, dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return the error object."""
        found = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": found}

    def response(self) -> Response:
        """Return the response."""
        return JSONResponse(self.body(), self.status, self.headers)


def full(waiting: int, retry_after: int = 1) -> RefusedError:
    """Return the refusal of a request for which there is no place in the line."""
    return RefusedError(
        429,
        f"all sessions are busy and {waiting} requests are waiting: try again in a moment",
        code="queue_full",
        kind="rate_limit_error",
        headers={"Retry-After": str(retry_after)},
    )


def leaving() -> RefusedError:
    """Return the refusal of a request that comes, or still waits, when the server is ending."""
    return RefusedError(503, "the server is ending", code="shutting_down", kind="server_error")


def too_slow(seconds: float) -> RefusedError:
    """Return the refusal of a request that ran into the time limit."""
    message = f"not answered within {seconds:g} s (tuner serve --timeout)"
    return RefusedError(504, message, code="timeout", kind="server_error")


def failed(error: BaseException) -> RefusedError:
    """Return the refusal of a request on which the engine failed."""
    reason = (str(error).strip().splitlines() or ["no message"])[0][:300]
    return RefusedError(
        500, f"the engine failed: {type(error).__name__}: {reason}", code="engine_failed", kind="server_error"
    )


async def refused(request: Request, error: Exception) -> Response:
    """Answer a request whose handler refused it."""
    assert isinstance(error, RefusedError)
    return error.response()


async def crashed(request: Request, error: Exception) -> Response:
    """Answer a request on which this server itself failed; the log has the details."""
    message = "the server failed on this request; its log says more"
    return RefusedError(500, message, code="server_failed", kind="server_error").response()


async def http_error(request: Request, error: Exception) -> Response:
    """Answer what no route takes: an unknown path, or a method that the path has not."""
    status = int(getattr(error, "status_code", 500))
    what = {404: f"there is no {request.url.path} here", 405: f"{request.method} is not for this path"}
    message = what.get(status, str(getattr(error, "detail", error)))
    return RefusedError(status, message, headers=getattr(error, "headers", None)).response()
