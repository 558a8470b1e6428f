"""The check after each build: well-built artefacts pass, ruined ones are refused with numbers."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tuner.backends.agreement import check_agreement, relative_error, same_label_share, source_logits
from tuner.backends.base import BuildRequest
from tuner.backends.build import build
from tuner.backends.registry import backends
from tuner.candidate import Quantization
from tuner.errors import BuildError
from tuner.runtime.loader import load_session

sys.path.insert(0, str(Path(__file__).parent))
from tiny_models import FAMILIES, MAX_LENGTH, checkpoint, inputs


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return inputs(tmp_path_factory.mktemp("data") / "documents.npz")


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("bert"), FAMILIES["bert"])


@pytest.fixture(scope="module")
def int8(bert, documents, tmp_path_factory):
    out = tmp_path_factory.mktemp("int8")
    wanted = Quantization(bits=8, scheme="dynamic")
    cache = tmp_path_factory.mktemp("cache")
    backends()["onnxruntime"].build(
        BuildRequest(bert, wanted, "cpu", None, MAX_LENGTH, documents, cache), out
    )
    return out


def rewritten(artefact, target, change):
    """Return a copy of an ONNX artefact whose initializers `change(name, array)` may replace."""
    import shutil

    import onnx
    from onnx import numpy_helper

    shutil.copytree(artefact, target)
    model = onnx.load(str(target / "model.onnx"))
    changed = 0
    for tensor in model.graph.initializer:
        new = change(tensor.name, numpy_helper.to_array(tensor))
        if new is not None:
            tensor.CopyFrom(numpy_helper.from_array(new, tensor.name))
            changed += 1
    assert changed
    onnx.save(model, str(target / "model.onnx"))
    return target


def test_a_good_int8_artefact_passes_with_its_numbers(int8, bert, documents):
    found = check_agreement(load_session(int8, 1), bert, documents, tolerance=0.3)
    assert 0 < found["relative_error"] < 0.3
    assert found["same_label"] >= 0.9


def test_int8_does_not_pass_for_fp32(int8, bert, documents):
    with pytest.raises(BuildError, match="relative error"):
        check_agreement(load_session(int8, 1), bert, documents, tolerance=1e-4)


def test_shuffled_int8_weights_are_refused(int8, bert, documents, tmp_path):
    rng = np.random.default_rng(0)

    def shuffle(name, array):
        return (
            rng.permutation(array.ravel()).reshape(array.shape)
            if array.dtype == np.int8 and array.ndim == 2
            else None
        )

    broken = rewritten(int8, tmp_path / "broken", shuffle)
    with pytest.raises(BuildError, match="do not agree"):
        check_agreement(load_session(broken, 1), bert, documents, tolerance=0.3)


def test_outputs_that_are_not_finite_are_refused(int8, bert, documents, tmp_path):
    def overflow(name, array):
        return np.full_like(array, np.inf) if name.endswith("_scale") else None

    broken = rewritten(int8, tmp_path / "broken", overflow)
    with pytest.raises(BuildError, match="not finite"):
        check_agreement(load_session(broken, 1), bert, documents, tolerance=0.3)


class Deaf:
    """A session whose attention mask was lost on the way, as an export with one example tensor twice does."""

    fixed_shape = None

    def __init__(self, session):
        self._session = session

    def run(self, given):
        return self._session.run({**given, "attention_mask": np.ones_like(given["attention_mask"])})


def test_a_lost_attention_mask_is_refused(bert, documents, tmp_path):
    request = BuildRequest(bert, Quantization(), "cpu", None, MAX_LENGTH, documents, tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    backends()["torch"].build(request, out)
    session = load_session(out, 1)
    assert check_agreement(session, bert, documents, tolerance=1e-4)["relative_error"] < 1e-5
    with pytest.raises(BuildError, match="do not agree"):
        check_agreement(Deaf(session), bert, documents, tolerance=0.1)


def test_the_error_is_held_against_how_documents_differ():
    offset = 100.0  # all documents share it: it must not hide that the found logits are the same for all
    expected = np.array([[1.0, -1.0], [-1.0, 1.0], [2.0, -2.0]]) + offset
    same_for_all = np.repeat(expected.mean(axis=0, keepdims=True), 3, axis=0)
    assert relative_error(expected, same_for_all) == pytest.approx(1.0)
    assert relative_error(expected, expected) == 0.0


def test_labels_count_only_where_the_source_is_sure():
    expected = np.array([[4.0, 0.0], [0.0, 4.0], [0.1, 0.0]])
    found = np.array([[3.0, 0.0], [0.0, 3.0], [0.0, 0.1]])  # only the undecided document changes its label
    assert same_label_share(expected, found) == 1.0
    assert same_label_share(expected, -found) == 0.0


def test_the_build_job_checks_what_it_built(bert, documents, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    found = build("onnxruntime", job(bert, documents, tmp_path), str(out))
    assert found["agreement"]["relative_error"] < 0.3
    assert sorted(p.name for p in out.iterdir()) == ["artefact.json", "model.onnx"]


def test_an_artefact_the_engine_cannot_load_is_a_build_error(bert, documents, tmp_path, monkeypatch):
    class Truncating:
        name, preload = "onnxruntime", ()
        offers = staticmethod(backends()["onnxruntime"].offers)

        def build(self, request, out):
            backends()["torch"].build(request, out)
            file = out / "model" / "model.safetensors"
            file.write_bytes(file.read_bytes()[:1000])

    monkeypatch.setattr("tuner.backends.build.backends", lambda: {"onnxruntime": Truncating()})
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(BuildError, match="cannot load what it built"):
        build("onnxruntime", job(bert, documents, tmp_path), str(out))


def job(bert, documents, tmp_path):
    return {
        "task": "text-classification",
        "checkpoint": str(bert),
        "quantization": {"bits": 8, "scheme": "dynamic", "group_size": None},
        "device": "cpu",
        "fixed_shape": None,
        "max_length": MAX_LENGTH,
        "calibration": str(documents),
        "check": str(documents),
        "samples": 16,
        "cache": str(tmp_path / "cache"),
    }


def test_source_logits_differ_between_documents(bert, documents):
    with np.load(documents) as arrays:
        logits = source_logits(bert, {name: arrays[name] for name in arrays.files})
    assert np.linalg.norm(logits - logits.mean(axis=0)) > 0.1 * np.linalg.norm(logits)
