"""What verify says where the study's cache is gone, and when a claim holds."""

from dataclasses import replace
from pathlib import Path

import pytest

from tuner.errors import InputError, TunerError
from tuner.export.bundle import write_bundle
from tuner.export.manifest import write_manifest
from tuner.metrics import Estimate
from tuner.service.verifying import _claim, answers_of, verify_bundle
from tuner.spec.load import load_spec

STUDY = Path(__file__).resolve().parents[2] / "studies" / "first-steps.yaml"


@pytest.fixture
def bundle(content, tmp_path, monkeypatch):
    monkeypatch.setenv("TUNER_HOME", str(tmp_path / "home"))
    report = {**content.report, "spec": load_spec(STUDY).to_plain()}
    return write_bundle(replace(content, report=report), tmp_path / "bundle")


def test_without_the_cache_files_and_an_answer_are_checked_and_it_says_so(bundle):
    found = verify_bundle(bundle)
    assert found["ok"] and found["files"] == [] and found["claims"] == []
    assert "not measured again" in found["notes"][0] and "not in the cache" in found["notes"][0]
    assert "'label': " in found["notes"][1]
    raw = float(found["notes"][2].partition("reference: ")[2].partition(" ms")[0])
    assert 0 < raw < 1000


def test_a_bundle_that_does_not_answer_is_no_success(bundle):
    (bundle / "artefact" / "model.onnx").write_bytes(b"no model")
    write_manifest(bundle)  # whole by its manifest, and broken all the same
    with pytest.raises(TunerError, match=r"predict.py failed: "):
        verify_bundle(bundle)


def test_a_report_that_is_no_report(bundle):
    (bundle / "report.json").write_text("{}")
    write_manifest(bundle)
    with pytest.raises(InputError, match=r"report.json: cannot be read"):
        verify_bundle(bundle)


def test_answers_are_in_the_order_of_the_texts(bundle):
    labels = [answer["label"] for answer in answers_of(bundle, ["goal", "bank"] * 20)]
    assert labels == ["sport", "business"] * 20


@pytest.mark.parametrize(
    "metric, measured, holds",
    [
        ("accuracy", (0.93, 0.91, 0.95), True),
        ("accuracy", (0.80, 0.78, 0.82), False),
        ("accuracy", (0.99, 0.98, 1.0), True),  # better than claimed is no broken claim
        ("latency_ms", (1.3, 1.25, 1.35), True),
        ("latency_ms", (2.6, 2.5, 2.7), False),
        ("latency_ms", (0.6, 0.5, 0.7), True),
    ],
)
def test_a_claim_holds_unless_it_is_measured_worse(metric, measured, holds):
    claimed = {
        "accuracy": {"value": 0.95, "low": 0.93, "high": 0.97},
        "latency_ms": {"value": 1.2, "low": 1.1, "high": 1.3},
    }[metric]
    found = Estimate(**dict(zip(("value", "low", "high"), measured, strict=True)))
    assert _claim(metric, claimed, found)["holds"] is holds
