"""The tiny language model that several files ask, trained once for each worker."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from tiny_language_model import checkpoint, written


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    return written(tmp_path_factory.mktemp("data") / "rows.npz")


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    """One for all builds, so that what an engine exports once is exported once."""
    return tmp_path_factory.mktemp("work")
