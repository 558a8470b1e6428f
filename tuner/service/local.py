"""Local: what this machine itself can do for the service: start a worker, and say what its engines offer.

Both run in processes of their own: whoever asks (a dashboard) must not import an engine.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from typing import Any

from tuner.errors import TunerError
from tuner.service.roles import Role, require_operator
from tuner.store import tuner_home

_PATIENCE = 120  # seconds for importing every engine once


def start_worker(role: Role, db: str | None = None) -> int:
    """Start `tuner worker` on this machine, which outlives the caller; return its process id. Its log lies in the home.

    Raises:
        NotAllowedError: the role is not operator.
        TunerError: the process cannot be started.
    """
    require_operator(role, "start workers")
    folder = tuner_home() / "workers"
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **({"TUNER_DB": db} if db else {}), "NO_COLOR": "1"}
    for name in [n for n in environment if n.startswith("STREAMLIT_")]:
        del environment[name]
    command = [sys.executable, "-m", "tuner.cli.main", "worker"]
    try:
        with (folder / "from-dashboard.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
    except OSError as error:
        raise TunerError(f"the worker cannot be started: {error.strerror or error}") from None
    return process.pid


@functools.lru_cache(maxsize=1)
def this_machine() -> dict[str, Any]:
    """Return `{"host": …, "backends": […]}` as `tuner backends --json` prints it; asked once a process.

    Raises:
        TunerError: it cannot be found out.
    """
    command = [sys.executable, "-m", "tuner.cli.main", "backends", "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise TunerError(f"what this machine can run could not be found out: {error}") from None
    return found
