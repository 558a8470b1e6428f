"""After `tuner gc` a stored study still exports what it measured."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from studies import tuner


@pytest.fixture
def copy(first_steps, tmp_path):
    """The home of the study that was run for this folder's tests, with a cache that nobody used for a day."""
    shutil.copytree(first_steps, tmp_path / "copy")
    for path in (tmp_path / "copy/cache").rglob("*"):
        os.utime(path, (time.time() - 90_000,) * 2)
    return tmp_path / "copy"


def test_a_study_still_exports_what_it_measured(copy, tmp_path):
    done = tuner(copy, "gc", "--json")
    assert done.returncode == 0, done.stderr
    removed = {piece["kind"] for piece in json.loads(done.stdout)["removed"]}
    kept = {
        "documents",
        "tokenizer",
        "source",
        "data",
        "fine-tune",
        "describe",
        "shape",
        "recover",
        "build",
        "export",
    }
    assert removed and not removed & kept
    trials = json.loads(tuner(copy, "front", "first-steps", "--json").stdout)
    for number in {trials[0]["trial"], trials[-1]["trial"]}:
        bundle = tmp_path / f"bundle-{number}"
        done = tuner(copy, "export", "first-steps", "--trial", number, "-o", bundle)
        assert done.returncode == 0, done.stderr
        assert json.loads((bundle / "report.json").read_text())["rebuilt"] is False


def test_a_deleted_study_leaves_an_empty_cache(copy):
    assert tuner(copy, "delete", "first-steps").returncode == 2  # nobody is there to ask
    assert tuner(copy, "delete", "first-steps", "--yes").returncode == 0
    done = tuner(copy, "gc", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kept"] == 0 and not list((copy / "cache").glob("*/*/entry.json"))
