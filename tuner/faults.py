"""Faults: named points of the code where a test makes the process fail, off unless `TUNER_FAULT` is set.

`TUNER_FAULT=after_claim:kill` kills the process the first time it comes to `after_claim`; `in_build:raise,3` raises the
third time. Several are separated by blanks. Actions: `kill` (SIGKILL), `stop` (SIGSTOP: frozen until SIGCONT), `exit`,
`raise`, `full` (no space on the disk), `memory`, `hang`. Each job has a point, named after its function: `job_build`.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections import Counter

_seen: Counter[str] = Counter()


def fault(point: str) -> None:
    """Fail here if `TUNER_FAULT` asks for it.

    Raises:
        OSError, MemoryError, RuntimeError: as asked.
    """
    for action in due(point):
        fail(point, action)


def due(point: str) -> list[str]:
    """Return the actions that `TUNER_FAULT` asks for this time; for a process whose children fail in its stead."""
    asked = os.environ.get("TUNER_FAULT")
    if not asked:
        return []
    _seen[point] += 1
    found = []
    for entry in asked.split():
        name, _, rest = entry.partition(":")
        action, _, count = rest.partition(",")
        if name == point and _seen[point] == int(count or 1):
            found.append(action)
    return found


def fail(point: str, action: str) -> None:
    """Fail in one way.

    Raises:
        OSError, MemoryError, RuntimeError: as asked.
    """
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "stop":
        while not _others_wait():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "exit":
        os._exit(3)
    elif action == "hang":
        time.sleep(3600)
    elif action == "full":
        raise OSError(errno.ENOSPC, f"no space left on device (fault at {point})")
    elif action == "memory":
        raise MemoryError(f"fault at {point}")
    else:
        raise RuntimeError(f"fault at {point}")


def _others_wait() -> bool:
    """Say whether no other thread is at work: one that is frozen in the middle of a write would lock SQLite for all."""
    frames = sys._current_frames()
    del frames[threading.get_ident()]
    return all(frame.f_code.co_filename == threading.__file__ for frame in frames.values())
