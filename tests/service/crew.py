"""Crew: stub workers in processes of their own, which may be killed, frozen and told to end.

They are forked from a process that has imported everything: a worker is there in a twentieth of a second, not in three.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import psutil

context = multiprocessing.get_context("forkserver")
_PRELOADED = ("tests.service.stub", "tuner.cli.guard", "optuna.storages", "optuna.samplers", "psycopg")
context.set_forkserver_preload([__name__, "pytest", "alembic.command", *_PRELOADED])
_one_at_a_time = threading.Lock()  # multiprocessing's bookkeeping is not made for several threads


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Wait for a condition and return what it returned."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)
    return found


class Member:
    """A worker's process. Everything it says is in its log."""

    def __init__(self, name: str, log: Path, process: Any) -> None:
        self.name, self.log, self._process = name, log, process
        with _one_at_a_time:
            process.start()
        self.pid: int = process.pid

    @property
    def exitcode(self) -> int | None:
        """Return how it ended, minus the signal's number if by a signal; None while it lives."""
        with _one_at_a_time:
            return self._process.exitcode

    @property
    def frozen(self) -> bool:
        """Say whether it is stopped by SIGSTOP."""
        return psutil.Process(self.pid).status() == psutil.STATUS_STOPPED

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens where the process is gone."""
        if self.exitcode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def ended(self, seconds: float = 60.0) -> int:
        """Wait for its end and return the exit code."""
        wait([self._process.sentinel], seconds)
        assert self.exitcode is not None, f"{self.name} does not end: {self.said()}"
        return self.exitcode

    def said(self) -> str:
        """Return what it printed."""
        return self.log.read_text() if self.log.exists() else ""


class Crew:
    """The workers of one database. None outlives the `with` block."""

    def __init__(self, url: str, folder: Path, lease: float = 1.0) -> None:
        self.url, self._folder, self._lease = url, folder, lease
        self.members: list[Member] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.send(signal.SIGKILL)
        for member in self.members:
            member.ended()

    def start(self, name: str, fault: str = "", seconds: float = 0.05, **options: Any) -> Member:
        """Start a worker; it takes `seconds` for a trial. `options` are those of `Worker`, else it drains."""
        settings = {"TUNER_FAULT": fault, "TUNER_LEASE": str(options.pop("lease", self._lease))}
        log = self._folder / f"{len(self.members)}-{name}.log"
        arguments = (self.url, name, seconds, settings, str(log), {"drain": True, **options})
        member = Member(name, log, context.Process(target=_work, args=arguments))
        self.members.append(member)
        return member


def _work(
    url: str, name: str, seconds: float, settings: dict[str, str], log: str, options: dict[str, Any]
) -> None:
    """Be a worker, as `tuner worker` is one: SIGTERM once drains, twice aborts; errors become one line."""
    from tuner.cli.guard import guarded
    from tuner.runtime.orphans import die_with_parent

    die_with_parent(os.getppid())
    os.setsid()
    os.environ.update(settings)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.exit(guarded(lambda: _run(url, name, seconds, options)))


def _run(url: str, name: str, seconds: float, options: dict[str, Any]) -> None:
    from tests.service.stub import stub_worker
    from tuner.service.signals import draining
    from tuner.store import Store

    pipeline = _pipeline(seconds, options.pop("slowness", 1.0))
    with Store.open(url) as store:
        worker = stub_worker(
            store, name, pipeline, listen=lambda event: print(event.message, flush=True), **options
        )

        def drain() -> None:
            worker.draining = True
            worker.wake()

        with draining(drain, lambda: worker.draining):
            worker.run()


def _pipeline(seconds: float, slowness: float) -> Any:
    from tests.service.stub import StubPipeline
    from tuner.errors import JobError

    class Pipeline(StubPipeline):
        """It tells of a full disk as the cache does."""

        def evaluate(self, *arguments: Any) -> Any:
            try:
                return super().evaluate(*arguments)
            except OSError as error:
                raise JobError("disk-full", f"{error.strerror}; free some") from error

    return Pipeline(seconds, slowness=slowness)
