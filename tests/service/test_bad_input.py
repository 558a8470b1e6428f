"""Bad input, each with one clear line, the documented exit code, and never a traceback."""

import json
import os
import shutil
import subprocess

import pytest
import yaml

from studies import FIRST_STEPS, QUICK, tuner
from tuner.store import Store

STUDY = yaml.safe_load(FIRST_STEPS.read_text())


def written(folder, **changes):
    """Write first-steps with changed sections."""
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump({**STUDY, "name": "bad", **changes}))
    return file


def csv(folder, rows):
    file = folder / "data.csv"
    file.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return {"source": str(file)}


def assert_refused(done, code, *words):
    assert done.returncode == code, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if all(word in line for word in words)]
    assert len(said) == 1, done.stderr
    assert done.stdout == ""


def test_missing_file(tmp_path):
    assert_refused(tuner(tmp_path, "run", tmp_path / "nosuch.yaml"), 2, "nosuch.yaml")


def test_unknown_key_with_the_nearest(tmp_path):
    file = written(tmp_path, buget={"trials": 3})
    assert_refused(tuner(tmp_path, "run", file), 2, "study.yaml:", "buget", "budget")


def test_energy_where_no_meter_is(tmp_path):
    file = written(tmp_path, constraints=["energy_j <= 0.5"])
    refused = tuner(tmp_path, "run", file, TUNER_POWERCAP=str(tmp_path / "nowhere"))
    assert_refused(refused, 2, "constraints: energy_j cannot be measured", "nowhere is not there")


def test_cost_without_a_price(tmp_path):
    file = written(tmp_path, objectives=["accuracy", "cost_per_million"])
    assert_refused(tuner(tmp_path, "run", file), 2, "price", "say what an hour costs")


def test_unknown_backend_with_the_nearest(tmp_path):
    file = written(tmp_path, axes={"backend": {"engines": ["onnxruntim"]}})
    assert_refused(tuner(tmp_path, "run", file), 2, "onnxruntim", "onnxruntime", "engines")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(f"text number {i}", "only") for i in range(40)], ["only"]),
        pytest.param(
            [], ["data"], marks=pytest.mark.slow
        ),  # what else may be wrong: tests/tasks/test_documents.py
        pytest.param([(f"text number {i}", "") for i in range(40)], ["label"], marks=pytest.mark.slow),
    ],
    ids=["one class", "empty", "labels missing"],
)
def test_data_that_cannot_be_used(tmp_path, rows, words):
    section = {k: v for k, v in STUDY["data"].items() if k not in ("classes", "limit")} | csv(tmp_path, rows)
    assert_refused(tuner(tmp_path, "run", written(tmp_path, data=section)), 2, "data", *words)


@pytest.mark.slow  # tests/tasks/test_documents.py holds it, too
def test_unknown_column(tmp_path):
    section = {**csv(tmp_path, [("a", "x"), ("b", "y")] * 20), "label": "topic"}
    assert_refused(tuner(tmp_path, "run", written(tmp_path, data=section)), 2, "topic", "label")


def test_text_longer_than_the_model_takes(tmp_path):
    model = {**STUDY["model"], "max_length": 512}
    assert_refused(tuner(tmp_path, "run", written(tmp_path, model=model)), 2, "model.max_length", "512", "64")


@pytest.fixture
def model_folder(home, tmp_path):
    """A copy of a real model folder."""
    source = next((home / "cache" / "source").iterdir())
    folder = tmp_path / "model"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("entry.json", "shape.json"))
    return folder


def local(folder):
    return {"source": str(folder), "max_length": 64}


def test_model_folder_without_weights(home, tmp_path, model_folder):
    (model_folder / "model.safetensors").unlink()
    assert_refused(tuner(home, "run", written(tmp_path, model=local(model_folder))), 2, "model", "weights")


def test_pickled_weights(home, tmp_path, model_folder):
    (model_folder / "model.safetensors").rename(model_folder / "pytorch_model.bin")
    assert_refused(
        tuner(home, "run", written(tmp_path, model=local(model_folder))), 2, "model", "safetensors"
    )


def test_hub_id_without_a_network(tmp_path):
    file = written(tmp_path, model={"source": "nobody/nosuch-model", "max_length": 64})
    done = tuner(tmp_path, "run", file, HF_HUB_OFFLINE="1")
    assert_refused(done, 2, "nobody/nosuch-model", "Hub")


def test_a_constraint_nobody_meets(home, tmp_path):
    file = written(tmp_path, name="impossible", constraints=["latency_ms <= 0.00001"])
    done = tuner(home, "run", file, "--trials", "2", *QUICK)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    stored = json.loads(tuner(home, "list", "--json").stdout)
    assert next(s for s in stored if s["name"] == "impossible")["measured"] == 2  # nothing is lost


def test_a_home_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    done = tuner(tmp_path / "file" / "home", "run", FIRST_STEPS)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "file") in done.stderr.splitlines()[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
@pytest.mark.slow
def test_a_full_disk_loses_nothing_and_says_so(home, tmp_path):
    """A home of a few megabytes: the run ends with one line, and goes on when there is room."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        done = tuner(small, "run", FIRST_STEPS, "--trials", "2", *QUICK)
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert "space" in done.stderr.splitlines()[-1]
        subprocess.run(["mount", "-o", "remount,size=400m", small], check=True)
        # What takes long was done elsewhere.
        shutil.copytree(home / "cache", small / "cache", dirs_exist_ok=True)
        done = tuner(small, "run", FIRST_STEPS, "--trials", "2", *QUICK)
        assert done.returncode == 0, done.stderr
    finally:
        subprocess.run(["umount", "-l", small], check=False)


@pytest.mark.slow
def test_a_candidate_that_takes_too_long_ends_as_failed_and_the_study_goes_on(home):
    """Students that would be recovered for ever pass their limit; the whole models are measured all the same."""
    endless = [
        "--set",
        "recover.steps=1000000",
        "--set",
        "recover.seconds=600",
        "--set",
        "limits.minutes=0.15",
    ]
    done = tuner(home, "run", FIRST_STEPS, "--set", "name=hurried", *endless, "--trials", "4", *QUICK)
    assert done.returncode == 0, done.stderr
    with Store.open(f"sqlite:///{home}/tuner.db") as store:
        trials = store.trials(store.get_study("hurried"), ("complete", "failed"))
    failed = [t for t in trials if t.state == "failed"]
    assert failed
    assert len(trials) == 4
    assert {t.kind for t in failed} == {"time-limit"}
    assert all("9 s" in t.reason for t in failed)
    assert {"complete"} == {t.state for t in trials if t.candidate.is_unshaped(4)}
