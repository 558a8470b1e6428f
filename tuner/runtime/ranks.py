"""Ranks: the processes of one divided model, asked all at once; one that dies ends them all, with its reason.

The caller is none of them, so it never waits inside a collective: it waits on one pipe for each rank, and a pipe ends
with its process. Whoever is left then is killed, whatever it was doing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn

from .split import Split

_GRACE = 2.0  # seconds in which whoever really died shows, after another rank complained of it
_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


class RankError(RuntimeError):
    """A rank died or failed; nothing is left of the others. The message says which, and how."""


@dataclass(frozen=True)
class Member:
    """One rank, seen from outside."""

    rank: int
    process: subprocess.Popen[bytes]
    connection: Connection


class Ranks:
    """The processes among which one artefact is divided; for one caller at a time.

    They end with `close`, with this object, and with the thread that made it.

    Raises:
        RankError: (of every method) a rank died or failed, now or before.
    """

    def __init__(self, directory: Path, threads: int, split: Split) -> None:
        self._number, self._broken = 0, ""
        self._members = [_start(directory, threads, split, rank) for rank in range(split.ranks)]
        self._end = weakref.finalize(self, _end, self._members)
        (port,) = self._answers(self._members[:1])  # where the first waits for the others
        for member in self._members[1:]:
            self._send(member, port)
        self._answers(self._members)

    @property
    def pids(self) -> list[int]:
        """Return the processes' ids."""
        return [member.process.pid for member in self._members]

    def call(self, operation: str, *given: Any) -> list[Any]:
        """Let every rank do an operation (see `rank.Duty`); return what each says."""
        if self._broken:
            raise RankError(self._broken)
        self._number += 1
        for member in self._members:
            self._send(member, (self._number, operation, given))
        return self._answers(self._members)

    def close(self) -> None:
        """End all ranks, at once."""
        self._broken = self._broken or "the session is closed"
        self._end()

    def _send(self, member: Member, message: Any) -> None:
        try:
            member.connection.send(message)
        except OSError:
            self._fail(member)

    def _answers(self, asked: Sequence[Member]) -> list[Any]:
        """Return the answer of each of `asked`; all are looked at. Answers to an interrupted call are passed over."""
        found: dict[int, Any] = {}
        while len(found) < len(asked):
            ready = wait([member.connection for member in self._members])
            for member in (m for m in self._members if m.connection in ready):
                number, failure, value = self._received(member)
                if failure:
                    self._fail(member, failure)
                if number == self._number:
                    found[member.rank] = value
        return [found[member.rank] for member in asked]

    def _received(self, member: Member) -> tuple[int, str, Any]:
        try:
            received: tuple[int, str, Any] = member.connection.recv()
        except (EOFError, OSError):
            self._fail(member)
        return received

    def _fail(self, member: Member, failure: str = "") -> NoReturn:
        """End everything, and say who was the first: a rank whose partner died complains as well."""
        dead = self._dead(member, bool(failure))
        if dead is None:
            what = failure or "closed its pipe"
        else:
            member, what = dead, _ended(dead.process.returncode)
        self._broken = f"rank {member.rank} of {len(self._members)} {what}"
        self.close()
        raise RankError(self._broken)

    def _dead(self, suspect: Member, patient: bool) -> Member | None:
        """Return a rank that ended by itself, one that was killed before any other."""
        deadline = time.monotonic() + _GRACE
        while True:
            dead = [m for m in (suspect, *self._members) if m.process.poll() is not None]
            killed = [m for m in dead if m.process.returncode < 0]
            if killed or (dead and not patient) or time.monotonic() > deadline:
                return next(iter(killed or dead), None)
            time.sleep(0.02)


def _start(directory: Path, threads: int, split: Split, rank: int) -> Member:
    ours, theirs = Pipe()
    cores = ",".join(map(str, split.cores_of(rank, threads)))
    options = {
        "rank": rank,
        "threads": threads,
        "tensor": split.tensor,
        "pipeline": split.pipeline,
        "cores": cores,
    }
    options |= {"parent": os.getpid(), "pipe": theirs.fileno()}
    given = [f"--{name}={value}" for name, value in options.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.rank", str(directory), *given],
        stdin=subprocess.DEVNULL,
        stdout=2,  # stderr: what engines print is no answer
        pass_fds=[theirs.fileno()],
        env=_environment(threads),
    )
    theirs.close()
    return Member(rank, process, ours)


def _environment(threads: int) -> dict[str, str]:
    """Return a rank's environment: gloo and NCCL meet on this machine's own interface, and nowhere else."""
    package = (__package__ or "").split(".")
    root = str(Path(__file__).resolve().parents[len(package)])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    meeting = {"GLOO_SOCKET_IFNAME": _LOOPBACK, "NCCL_SOCKET_IFNAME": _LOOPBACK}
    return {**os.environ, **meeting, "PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)}


def _ended(code: int) -> str:
    if code >= 0:
        return f"exited with {code}"
    hint = " (by the kernel for want of memory, or from outside)" if -code == signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{hint}"


def _end(members: Sequence[Member]) -> None:
    for member in members:
        member.process.kill()
    for member in members:
        member.process.wait()
        member.connection.close()
