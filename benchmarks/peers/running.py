"""Run one program under the budget of all: it is killed when its time is up, and what it left by then counts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Status = Literal["done", "over time", "failed", "not installed"]
_TAIL = 20_000  # bytes of a log's end that an error is looked for in


@dataclass(frozen=True)
class Outcome:
    """How a peer's run ended; `error` is the last line it wrote, where it did not end well. Seconds of wall time."""

    status: Status
    seconds: float
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def run_limited(command: Sequence[str], log: Path, seconds: float, environment: Mapping[str, str]) -> Outcome:
    """Run a command with all its children for so many seconds at most; what it prints goes to `log`."""
    begin = time.monotonic()
    with log.open("w") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=dict(environment),
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return Outcome("over time", seconds, f"killed after {seconds:.0f} s: {last_line(log)}")
        finally:
            _end(process)
    took = time.monotonic() - begin
    return Outcome("done", took) if code == 0 else Outcome("failed", took, _why(code, log))


def last_line(log: Path) -> str:
    """Return the last line of a log that says something."""
    text = log.read_bytes()[-_TAIL:].decode(errors="replace")
    return next((line.strip()[:400] for line in reversed(text.splitlines()) if line.strip()), "")


def _why(code: int, log: Path) -> str:
    return f"signal {signal.Signals(-code).name}: {last_line(log)}" if code < 0 else last_line(log)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
