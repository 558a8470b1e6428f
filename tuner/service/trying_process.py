"""The process of a try-it box, from outside: how many there may be, how long each may take, and how it ends."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any

from tuner.errors import TunerError
from tuner.pipeline.jobs import job_environment

_MOST_CHILDREN = 4  # of this process at once: each has a model in memory
_DEADLINE = 240.0  # seconds for loading and answering together
_CHUNK = 1 << 16
_seats = threading.BoundedSemaphore(_MOST_CHILDREN)


class Child:
    """The process: one question at a time, each answered within `_DEADLINE`.

    Raises:
        TunerError: too many are at work already.
    """

    def __init__(self, setup: Mapping[str, Any], name: str) -> None:
        if not _seats.acquire(blocking=False):
            raise TunerError(
                f"{_MOST_CHILDREN} trials are being asked at this moment; ask again in a few minutes"
            )
        self._name, self._unread, self._sits = name, b"", threading.Lock()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - nameless: it goes with us
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tuner.service.trying_child", json.dumps(setup)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                bufsize=0,  # a line that a buffer took in, `select` would not see
                env=_environment(int(setup["threads"])),
                start_new_session=True,
            )
        except BaseException:
            _seats.release()
            raise

    @property
    def alive(self) -> bool:
        """Say whether it still runs."""
        return self._process.poll() is None

    def answers(self, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield what the child says of a question, up to its last word.

        Raises:
            TunerError: it ended, or its time is over.
        """
        end = time.monotonic() + _DEADLINE
        try:
            _pipe(self._process.stdin).write((json.dumps(asked) + "\n").encode())
        except OSError:
            raise self._gone() from None
        said: dict[str, Any] = {"piece": ""}
        while "piece" in said:
            said = json.loads(self._line(end))
            yield said

    def kill(self) -> None:
        """End the process and give its seat back, once."""
        if not self._sits.acquire(blocking=False):
            return
        self._process.kill()
        self._process.wait()
        _seats.release()

    def _line(self, end: float) -> bytes:
        pipe = _pipe(self._process.stdout)
        while b"\n" not in self._unread:
            ready, _, _ = select.select([pipe], [], [], max(end - time.monotonic(), 0))
            if not ready:
                raise TunerError(f"{self._name} did not answer within {_DEADLINE:.0f} s")
            piece = os.read(pipe.fileno(), _CHUNK)
            if not piece:
                raise self._gone()
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _gone(self) -> TunerError:
        """Return how the child ended, with the last line of what it wrote."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        last = f": {lines[-1][:400]}" if lines else ""
        return TunerError(f"{self._name}: the process that answers has ended{last}")


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _environment(threads: int) -> dict[str, str]:
    """Return a job's environment, with the engine's threads; they wait as they do when they are measured."""
    kept = {name: value for name, value in job_environment().items() if name != "OMP_WAIT_POLICY"}
    counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    return {**kept, **counts}
