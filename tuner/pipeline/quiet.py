"""Quiet: one lock for the whole machine, shared by builds and training, exclusive for a measurement.

Two workers of one host must not spoil each other's latencies; while nobody measures, all may build. Two files, each
under `flock`: whoever wants the room stands at the gate first, so that a measurement that waits keeps new builds out
and gets its turn. The kernel frees both when a process dies, however it dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

_POLL = 0.02  # seconds between the first two tries; the next ones are further apart, for who measures has both cores
_SLOWEST = 0.2
_LOOK = 1.0  # seconds of waiting before somebody looks if the holder is frozen


class Quiet:
    """The machine's lock. `waiting` is asked while it waits, and may raise to give up."""

    def __init__(self, folder: Path | None = None, waiting: Callable[[], None] = lambda: None) -> None:
        self._folder, self._waiting = folder or quiet_folder(), waiting

    @contextlib.contextmanager
    def shared(self) -> Iterator[int]:
        """Hold the machine together with other builds; yields how many they are, this one included."""
        with self._room(fcntl.LOCK_SH) as room:
            yield max(len(_holders(os.fstat(room).st_ino)), 1)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the machine alone."""
        with self._room(fcntl.LOCK_EX):
            yield

    def measures(self) -> bool:
        """Say whether somebody holds the machine alone; read only, and at once."""
        descriptor = self._open("room")
        try:
            return not _try(descriptor, fcntl.LOCK_SH)
        finally:
            _leave(descriptor)

    @contextlib.contextmanager
    def _room(self, mode: int) -> Iterator[int]:
        with contextlib.ExitStack() as held:
            gate = self._taken("gate", fcntl.LOCK_EX)
            held.callback(_leave, gate)
            room = self._taken("room", mode)
            held.callback(_leave, room)
            fcntl.flock(gate, fcntl.LOCK_UN)
            yield room

    def _taken(self, name: str, mode: int) -> int:
        """Wait for a file's lock and return the descriptor that holds it."""
        begin, pause, descriptor = time.monotonic(), _POLL, self._open(name)
        try:
            while not (_try(descriptor, mode) and self._is_in_use(descriptor, name)):
                self._waiting()
                if not self._is_in_use(descriptor, name):  # somebody has put another file in its place
                    _leave(descriptor)
                    descriptor = self._open(name)
                elif time.monotonic() - begin > _LOOK and _all_frozen(descriptor):
                    # A frozen process computes nothing: nobody need wait for it. It keeps its lock, of a file that
                    # nobody else looks at any more; only where that file is another user's can we but go past it.
                    try:
                        (self._folder / name).unlink(missing_ok=True)
                    except OSError:
                        return descriptor
                else:
                    time.sleep(pause)
                    pause = min(pause * 1.5, _SLOWEST)
        except BaseException:
            _leave(descriptor)
            raise
        return descriptor

    def _open(self, name: str) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with contextlib.suppress(OSError):  # made by another user: then the modes are right already
            os.fchmod(descriptor, 0o666)
            self._folder.chmod(0o1777)
        return descriptor

    def _is_in_use(self, descriptor: int, name: str) -> bool:
        with contextlib.suppress(OSError):
            return os.path.samestat(os.fstat(descriptor), (self._folder / name).stat())
        return False


def quiet_folder() -> Path:
    """Return where the lock lies: one place for all users and homes of this machine; `TUNER_QUIET` names another."""
    return Path(os.environ.get("TUNER_QUIET") or Path(tempfile.gettempdir()) / "tuner-quiet")


def _leave(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _try(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _all_frozen(descriptor: int) -> bool:
    return all_frozen(os.fstat(descriptor).st_ino)


def all_frozen(inode: int) -> bool:
    """Say whether all who hold this file's lock are stopped (SIGSTOP); Linux only, elsewhere nobody is."""
    holders = _holders(inode)
    return bool(holders) and all(_frozen(pid) for pid in holders)


def _holders(inode: int) -> list[int]:
    """Return the processes that hold a lock on a file; the kernel lists `1: FLOCK ADVISORY WRITE pid dev:inode`."""
    with contextlib.suppress(OSError):
        lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        return [int(f[4]) for f in lines if len(f) > 5 and f[1] == "FLOCK" and f[5].endswith(f":{inode}")]
    return []


def _frozen(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False
