"""The application: the routes of a bundle's kind, /v1/models and /healthz, behind one door."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tuner.errors import InputError, NotFoundError
from tuner.runtime.answering import Chat
from tuner.runtime.generating import AnsweringSession
from tuner.runtime.predict import Classifier
from tuner.serving.access import Door
from tuner.serving.batching import seats_of
from tuner.serving.classify import Labeller
from tuner.serving.generate import Generator
from tuner.serving.pool import Pool, Seat
from tuner.serving.refusals import RefusedError, crashed, http_error, refused
from tuner.serving.settings import SLOTS, Settings


@dataclass(frozen=True)
class Service:
    """A bundle, loaded and ready to be asked."""

    app: Starlette
    pool: Pool[Any]


def open_bundle(bundle: Path, settings: Settings) -> Service:
    """Load a bundle's sessions and return its service.

    Raises:
        NotFoundError: there is no bundle.
        InputError: it cannot be loaded, for example for want of its engine.
    """
    if not (bundle / "bundle.json").is_file():
        raise NotFoundError(f"{bundle}: no bundle there (it has no bundle.json)")
    try:
        chats = json.loads((bundle / "bundle.json").read_text()).get("kind") == "chat"
        return (_chat if chats else _classifier)(bundle, settings)
    except ImportError as error:
        raise InputError(
            f"{bundle}: its engine is not installed ({error}): pip install -r {bundle / 'requirements.txt'}"
        ) from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or ["no message"])[0]
        raise InputError(f"{bundle}: cannot be loaded: {type(error).__name__}: {reason}") from error


def _chat(bundle: Path, settings: Settings) -> Service:
    chat = Chat.read(bundle)
    slots = settings.slots or _slots(chat.described)

    def seats(
        session: AnsweringSession, thread: ThreadPoolExecutor, replica: int
    ) -> list[Seat[AnsweringSession]]:
        return seats_of(session, thread, replica, slots)

    pool = Pool.load(lambda: chat.load(settings.threads), settings.replicas, settings.queue, seats)
    facts = {"context": chat.context, "chat": chat.template is not None}
    return _service(Generator(chat, pool, settings).routes(), pool, settings, facts)


def _slots(described: Mapping[str, Any]) -> int:
    """Return how many conversations share a session: as measured; where that was one alone, and undrafted, several."""
    measured = int(described.get("slots", 1))
    return SLOTS if measured == 1 and described.get("draft") is None else measured


def _classifier(bundle: Path, settings: Settings) -> Service:
    pool = Pool.load(lambda: Classifier(bundle, settings.threads), settings.replicas, settings.queue)
    labels = json.loads((bundle / "labels.json").read_text(encoding="utf-8"))
    return _service(Labeller(pool, settings).routes(), pool, settings, {"labels": labels})


def _service(routes: list[Route], pool: Pool[Any], settings: Settings, facts: dict[str, Any]) -> Service:
    model = {"id": settings.name, "object": "model", "created": 0, "owned_by": "tuner", **facts}
    app = Starlette(
        routes=[
            *routes,
            Route("/v1/models", _always({"object": "list", "data": [model]})),
            Route(f"/v1/models/{settings.name}", _always(model)),
            Route("/healthz", _health(pool)),
        ],
        middleware=[Middleware(Door, api_key=settings.api_key)],
        exception_handlers={RefusedError: refused, HTTPException: http_error, Exception: crashed},
    )
    return Service(app, pool)


def _always(body: dict[str, Any]) -> Callable[[Request], Response]:
    return lambda request: JSONResponse(body)


def _health(pool: Pool[Any]) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        seats = {"sessions": pool.sessions, "slots": pool.size}
        state = {**seats, "busy": pool.busy, "waiting": pool.waiting}
        return JSONResponse(
            {"status": "ending" if pool.closed else "ok", **state}, 503 if pool.closed else 200
        )

    return answer
