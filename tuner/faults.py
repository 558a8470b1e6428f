"""Faults: named points of the code where a test makes the process fail, off unless `TUNER_FAULT` is set.

`TUNER_FAULT=after_claim:kill` kills the process the first time it comes to `after_claim`; `in_build:raise,3` raises the
third time. Several are separated by blanks. Actions: `kill` (SIGKILL), `stop` (SIGSTOP: frozen until SIGCONT), `exit`,
`raise`, `full` (no space on the disk), `memory`, `hang`.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter

_seen: Counter[str] = Counter()


def fault(point: str) -> None:
    """Fail here if `TUNER_FAULT` asks for it.

    Raises:
        OSError, MemoryError, RuntimeError: as asked.
    """
    asked = os.environ.get("TUNER_FAULT")
    if not asked:
        return
    _seen[point] += 1
    for entry in asked.split():
        name, _, rest = entry.partition(":")
        action, _, count = rest.partition(",")
        if name == point and _seen[point] == int(count or 1):
            _fail(point, action)


def _fail(point: str, action: str) -> None:
    if action in ("kill", "stop"):
        os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)
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
