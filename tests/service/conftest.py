"""One real study, run once for all tests of this folder."""

import sys
from pathlib import Path

import pytest

from tests.kept import kept_url, store

sys.path.insert(0, str(Path(__file__).parent))
from studies import FIRST_STEPS, QUICK, tuner

__all__ = ["kept_url", "store"]


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A tuner's home in which `first-steps` was run to its end."""
    home = tmp_path_factory.mktemp("home")
    done = tuner(home, "run", FIRST_STEPS, "--trials", "5", *QUICK)
    assert done.returncode == 0, done.stderr
    (home / "stdout").write_text(done.stdout)
    (home / "stderr").write_text(done.stderr)
    return home
