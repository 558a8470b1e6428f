"""One real study, run once for all tests of this folder."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from tests.kept import kept_url, store

sys.path.insert(0, str(Path(__file__).parent))
from studies import FIRST_STEPS, QUICK, tuner

__all__ = ["kept_url", "store"]


@pytest.fixture(scope="session")
def first_steps(tmp_path_factory):
    """A tuner's home in which `first-steps` was run to its end: to be copied, not to be changed.

    Where tests run side by side, the study is run by the first process that needs it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "first-steps"
    with FileLock(f"{shared}.lock"):
        if not (shared / "stdout").exists():
            done = tuner(shared, "run", FIRST_STEPS, "--trials", "5", *QUICK)
            assert done.returncode == 0, done.stderr
            (shared / "stderr").write_text(done.stderr)
            (shared / "stdout").write_text(done.stdout)
    return shared


@pytest.fixture(scope="session")
def home(first_steps, tmp_path_factory):
    """A copy of that home, for this process's tests to go on in."""
    return shutil.copytree(first_steps, tmp_path_factory.mktemp("home"), dirs_exist_ok=True)
