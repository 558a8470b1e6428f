"""Running the real command line on small real studies."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIRST_STEPS = ROOT / "studies" / "first-steps.yaml"
#: A real study, small enough for a test: two engines, two widths.
QUICK = ["--set", "measure.seconds=1"]


def environment(home, **more):
    """Return the environment of a run: its own home, and a quiet lock that only this test run's processes share."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or os.getpid()
    quiet = Path(tempfile.gettempdir()) / f"tuner-quiet-{run}"
    env = {**os.environ, "TUNER_HOME": str(home), "NO_COLOR": "1", "TUNER_QUIET": str(quiet), **more}
    env.pop("TUNER_DB", None)
    return env


def tuner(home, *arguments, timeout=280, **more):
    """Run `tuner` in a child and return the finished process."""
    command = [sys.executable, "-m", "tuner.cli.main", *map(str, arguments)]
    env = environment(home, **more)
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout, cwd=ROOT)


def start(home, *arguments):
    """Start `tuner` in the background, in a process group of its own."""
    command = [sys.executable, "-m", "tuner.cli.main", *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )


def front(home, name):
    """Return the front as the command line's JSON."""
    done = tuner(home, "front", name, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
