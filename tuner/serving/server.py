"""The server: listens until it is told to leave, and then lets the answers under way end."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import structlog
import uvicorn

from tuner.errors import InputError
from tuner.serving.app import Service, open_bundle
from tuner.serving.settings import Settings

_log = structlog.get_logger("tuner.serving")


class _Server(uvicorn.Server):
    """Sends requests that wait away as soon as it is told to leave."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self.told: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take the first SIGINT or SIGTERM as a wish to end, a second SIGINT as one to end at once."""
        self.told = self.told or sig
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Say if it is time to end."""
        leaving = await super().on_tick(counter)
        if leaving:
            self._service.pool.close()
            _log.info("ending", answers=self._service.pool.busy, grace=self.config.timeout_graceful_shutdown)
        return leaving


def serve(bundle: Path, settings: Settings, ready: Callable[[str], None]) -> int | None:
    """Serve a bundle until a signal ends it; return the signal. `ready` is told the address.

    Raises:
        NotFoundError, InputError: no bundle, one that cannot be loaded, or an address that is not to be had.
    """
    signal.signal(signal.SIGTERM, _leave)  # while it loads, and after uvicorn has passed the signal on
    with _listening(settings) as listening:
        service = open_bundle(bundle, settings)
        config = uvicorn.Config(
            service.app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=round(settings.grace),
        )
        server = _Server(config, service)
        listening.listen()  # not before: who is refused knows that it is not ready yet
        host, port = listening.getsockname()[:2]
        ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        pool = service.pool
        sizes = {"sessions": pool.sessions, "slots": pool.size, "queue": settings.queue}
        _log.info("ready", model=settings.name, **sizes)
        try:
            server.run(sockets=[listening])
        except (KeyboardInterrupt, SystemExit):
            if server.told is None:
                raise
        return server.told


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _listening(settings: Settings) -> socket.socket:
    """Return the socket, bound before the model is loaded: a port that is taken is known at once."""
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        return listening
    except OSError as error:
        raise InputError(
            f"{settings.host}:{settings.port}: cannot listen there: {error.strerror or error}"
        ) from None
