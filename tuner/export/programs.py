"""Run a bundle's program, or an artefact, in a process of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Sequence

from tuner.errors import TunerError

_SECONDS = 900.0


def run_program(command: Sequence[str], name: str, lines: str = "", good: Collection[int] = (0,)) -> str:
    """Return what a program writes to stdout when it is given `lines` on stdin. `good` are the exit codes expected.

    Raises:
        TunerError: it fails, or does not answer in time; the message names it as `name`.
    """
    try:
        done = subprocess.run(command, input=lines, encoding="utf-8", capture_output=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise TunerError(f"{name} did not answer within {_SECONDS:.0f} s") from None
    if done.returncode not in good:
        raise TunerError(f"{name} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return done.stdout
