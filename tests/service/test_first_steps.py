"""The smallest real study from its file to a bundle that answers."""

import json
import os
import shutil
import subprocess
import sys

import jsonschema
import numpy as np
import pytest

from studies import FIRST_STEPS, QUICK, front, tuner
from tuner.service.api import list_studies, load
from tuner.spec.schema import front_schema
from tuner.store import Store


@pytest.fixture
def in_home(home, monkeypatch):
    monkeypatch.setenv("TUNER_HOME", str(home))
    monkeypatch.delenv("TUNER_DB", raising=False)
    return home


@pytest.fixture(scope="module")
def bundle(home, tmp_path_factory):
    target = tmp_path_factory.mktemp("bundles") / "best"
    done = tuner(home, "export", "first-steps", "--pick", "fastest", "-o", target)
    assert done.returncode == 0, done.stderr
    return target


def test_the_front_is_printed_and_drawn(home):
    printed = (home / "stdout").read_text()
    assert "confirmed on the test split" in printed
    picture = home / "studies" / "first-steps" / "front.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_front_as_json_keeps_its_schema(home):
    found = front(home, "first-steps")
    jsonschema.validate(found, front_schema())
    assert found
    assert all(point["on_front"] and point["confirmed"] for point in found)
    latencies = [point["metrics"]["latency_ms"]["value"] for point in found]
    accuracies = [point["metrics"]["accuracy"]["value"] for point in found]
    assert latencies == sorted(latencies)
    assert accuracies == sorted(accuracies)  # slower points are only on the front if they are better


def test_every_trial_is_stored_with_its_stages_and_samples(in_home):
    with Store.open() as store:
        trials = store.trials(store.get_study("first-steps"))
        assert [t.state for t in trials if t.state != "repeated"] == ["complete"] * 5
        first = trials[0]
        assert first.candidate.backend.engine == "torch"
        names = [stage.name for stage in first.stages]
        assert names == ["build", "performance", "quality"]
        raw = next(m for m in store.measurements(first.id) if m.kind == "performance")
        assert len(raw.samples) > 10
        assert len(raw.reference_samples) > 10
    shaped = [t for t in trials if not t.candidate.is_unshaped(4)]
    assert shaped
    assert all("recover" in [stage.name for stage in t.stages] for t in shaped)


def test_the_learnt_model_knows_its_topics(in_home):
    baseline = load("first-steps").rows()[0]
    assert baseline.metrics["accuracy"].low > 0.7


def test_smaller_models_are_really_smaller(in_home):
    rows = load("first-steps").rows()
    whole = [r for r in rows if r.candidate.is_unshaped(4) and r.candidate.quantization.bits == 32]
    small = [r for r in rows if r.candidate.distillation.student_layers == 1]
    assert small
    largest = max(r.metrics["size_mb"].value for r in small)
    assert largest < max(r.metrics["size_mb"].value for r in whole)


def test_the_same_command_again_costs_nothing(home):
    before = front(home, "first-steps")
    done = tuner(home, "run", FIRST_STEPS, "--trials", "5", *QUICK)
    assert done.returncode == 0, done.stderr
    assert "trial 5" not in done.stderr
    assert front(home, "first-steps") == before


def test_a_changed_study_needs_another_name(home):
    done = tuner(home, "run", FIRST_STEPS, *QUICK, "--set", "recover.steps=21")
    assert done.returncode == 2
    assert "recover.steps" in done.stderr
    assert "name" in done.stderr


def test_where_filters_the_front(home):
    done = tuner(home, "front", "first-steps", "--json", "--where", "latency_ms<=0.000001")
    assert done.returncode in (0, 3)
    assert json.loads(done.stdout) == []


def test_python_face(in_home, tmp_path):
    study = load("first-steps")
    table = study.front()
    assert {"trial", "accuracy", "latency_ms", "speedup"} <= set(table.columns)
    best = study.pick(max_loss=0.5)
    assert best.export(tmp_path / "best").joinpath("predict.py").exists()
    assert "first-steps" in [s.name for s in list_studies()]


def test_bundle_answers_from_anywhere(bundle, tmp_path):
    text = "The striker scored twice and the team won the match."
    program = [sys.executable, str(bundle / "predict.py")]
    done = subprocess.run([*program, text], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    label, _ = done.stdout.split()
    assert label in ("business", "sports")
    lines = subprocess.run(
        [*program, "--json"], input=f"{text}\nShares fell.\n", capture_output=True, text=True, cwd=tmp_path
    )
    assert [json.loads(line).keys() for line in lines.stdout.splitlines()] == [{"label", "probability"}] * 2


def test_bundle_answers_as_the_tuners_own_session(bundle, in_home):
    """The bundle tokenizes by itself: same labels as the encoded test split through the session that was measured."""
    from tuner.pipeline.cache import Cache

    data = next((in_home / "cache" / "data").iterdir())
    texts = [json.loads(line)["text"] for line in (data / "test_texts.jsonl").read_text().splitlines()][:100]
    flat = "\n".join(" ".join(text.split()) for text in texts)
    program = [sys.executable, str(bundle / "predict.py"), "--json"]
    done = subprocess.run(program, input=flat, capture_output=True, text=True)
    answered = [json.loads(line)["label"] for line in done.stdout.splitlines()]

    from tuner.measure.client import Serving

    with Serving(bundle / "artefact", 1, [0]) as serving:
        logits = serving.predict(data / "test.npz")
    labels = json.loads((data / "meta.json").read_text())["labels"]
    assert answered == [labels[i] for i in np.argmax(logits[:100], axis=1)]
    assert Cache(in_home / "cache").root.exists()


def test_bundle_holds_what_it_promises(bundle):
    names = {path.name for path in bundle.iterdir()}
    wanted = {
        "artefact",
        "tokenizer.json",
        "config.yaml",
        "report.json",
        "README.md",
        "requirements.txt",
        "predict.py",
    }
    assert wanted <= names
    assert "torch" not in (bundle / "requirements.txt").read_text()
    for module in (bundle / "runtime").glob("*.py"):
        assert "import tuner" not in module.read_text()
        assert "from tuner" not in module.read_text()


def test_verify_holds_a_bundle_against_its_claims(home, bundle):
    done = tuner(home, "verify", bundle, "--json")
    found = json.loads(done.stdout)
    claims = {claim["metric"]: claim for claim in found["claims"]}
    assert claims["accuracy"]["holds"]
    assert claims["accuracy"]["measured"]["value"] == pytest.approx(claims["accuracy"]["claimed"]["value"])
    assert claims["size_mb"]["holds"]
    assert claims["latency_ms"]["measured"] is not None


def test_verify_finds_a_changed_file(home, bundle, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(bundle, changed)
    with (changed / "config.yaml").open("a") as stream:
        stream.write("# edited\n")
    done = tuner(home, "verify", changed, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["files"] == ["config.yaml: changed"]


@pytest.mark.slow
def test_bundle_in_a_new_environment(bundle, tmp_path):
    """Only its requirements.txt is installed: nothing of the tuner, no torch."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", bundle / "requirements.txt"], check=True)
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [python, bundle / "predict.py", "The team won."],
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in ("business", "sports")
