"""Working: a worker of this host for whatever studies there are, until a signal or the end of the work."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

from tuner.backends.registry import offers
from tuner.errors import TunerError
from tuner.hardware import this_host
from tuner.service.events import Listener
from tuner.service.pipeline import Works
from tuner.service.progress import Progress
from tuner.service.requires import capabilities, default_worker_name
from tuner.service.signals import draining
from tuner.service.worker import Worker, at_work
from tuner.store import Store, tuner_home
from tuner.store.leases import lease_seconds

_MOST = 1000  # workers of one host that are given names


def work(
    store: Store,
    name: str,
    listen: Listener,
    once: bool = False,
    drain: bool = False,
    labels: Mapping[str, str] | None = None,
) -> signal.Signals | None:
    """Work under a name until told to end; return the signal that did so, None if there was nothing left to do.

    The first SIGTERM or SIGINT lets the trial at hand come to its end; the second gives it back.

    Raises:
        InputError: a worker of this name is at work.
        TunerError: the disk is full, the database is gone, or another process took the name over.
        KeyboardInterrupt: a second signal.
    """
    _hand_over_optunas_log()
    host, progress = this_host(), Progress(store, listen)
    worker = Worker(
        store,
        name,
        host,
        capabilities(host, offers(host), labels),
        Works(host, progress.stage),
        progress,
        once=once,
        drain=drain,
    )
    told: list[signal.Signals] = []

    def leave() -> None:
        worker.draining = True
        worker.wake()
        progress.note("draining: the trial at hand is finished first; a second signal gives it back")

    progress.note(
        f"worker {name} starts on {host.name}: {len(host.cores)} cores, {_engines(worker.capabilities)}"
    )
    with draining(leave, lambda: worker.draining), _noted(told):
        worker.run()
    progress.note(f"worker {name} leaves")
    return told[0] if told else None


@contextlib.contextmanager
def named(store: Store, name: str | None) -> Iterator[str]:
    """Give a name for as long as the block runs: the given one, else the host's, numbered where that is at work.

    A file's lock keeps two workers that start at once from choosing the same one; it ends with the process.

    Raises:
        TunerError: the tuner's home cannot be written.
    """
    if name is not None:
        yield name
        return
    found, lock = _free(store, default_worker_name())
    with lock:
        yield found


def _free(store: Store, first: str) -> tuple[str, FileLock]:
    for name in (first, *(f"{first}-{i}" for i in range(2, _MOST))):
        lock = _lock(name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        if not at_work(store.find_worker(name), this_host(), lease_seconds()):
            return name, lock
        lock.release()
    raise TunerError(f"{_MOST} workers named {first} are at work; choose a name: --name")


def _lock(name: str) -> FileLock:
    folder = tuner_home() / "workers"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TunerError(f"{folder}: {error.strerror}; set TUNER_HOME to a directory of yours") from error
    return FileLock(folder / f"{name}.lock")


@contextlib.contextmanager
def _noted(told: list[signal.Signals]) -> Iterator[None]:
    """Note which signals come, on their way to the handlers that are in force."""

    def noting(handler: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], Any]:
        def handle(number: int, frame: FrameType | None) -> None:
            told.append(signal.Signals(number))
            handler(number, frame)

        return handle

    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if callable(handler):
            signal.signal(number, noting(handler))
    yield  # `draining` puts the handlers back that were there before both


def _engines(having: Mapping[str, Any]) -> str:
    return ", ".join(
        sorted({f"{engine}@{offer['device']}" for engine, offer in having["offers"] if offer["available"]})
    )


def _hand_over_optunas_log() -> None:
    """Let Optuna's warnings go where all lines go: it has a handler of its own."""
    import optuna

    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
