"""Every engine of language models through the conformance suite: number formats, methods, precisions of the cache."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tuner.backends.base import BuildRequest
from tuner.backends.build import build
from tuner.backends.generating_agreement import check_generating_agreement, texts
from tuner.backends.generating_conformance import check
from tuner.backends.registry import backends, offers
from tuner.candidate import Quantization
from tuner.errors import BuildError, UnsupportedError
from tuner.hardware import this_host
from tuner.runtime.loader import load_session

sys.path.insert(0, str(Path(__file__).parent))
from tiny_language_model import checkpoint

#: What the quick suite builds: of each engine one exact format or one that rounds.
_QUICK = {
    ("torch", 32, None),
    ("openvino", 32, None),
    ("openvino", 8, "rtn"),
    ("openvino-genai", 8, "rtn"),
    ("torch-compile", 32, None),
    ("onnxruntime-genai", 8, "rtn"),
    ("llama-cpp", 32, None),
    ("llama-cpp", 8, "q8_0"),
    ("llama-cpp", 4, "q4_1"),
}
#: llama.cpp stores 3 and 2 bits in blocks of so many weights: rows must divide into them.
_WIDE = 256


def offered():
    for engine, offer in offers(this_host(), "text-generation"):
        for method in offer.methods or (None,) if offer.available else ():
            marks = [] if (engine, offer.bits, method) in _QUICK else [pytest.mark.slow]
            yield pytest.param(
                engine, offer, method, id=f"{engine}-{offer.bits}-{method or 'plain'}", marks=marks
            )


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("wide"), width=_WIDE)


@pytest.fixture(scope="module")
def plain(model, rows, tmp_path_factory):
    out = tmp_path_factory.mktemp("plain")
    request = BuildRequest(
        model, Quantization(), "cpu", None, 48, rows, tmp_path_factory.mktemp("cache"), task="text-generation"
    )
    backends()["torch"].build(request, out)
    return out


def test_the_engines_are_there():
    found = {engine for engine, offer in offers(this_host(), "text-generation") if offer.available}
    assert found >= {"torch", "torch-compile", "openvino", "onnxruntime-genai", "openvino-genai"}


def test_every_no_has_a_reason():
    refused = [offer for _, offer in offers(this_host(), "text-generation") if not offer.available]
    assert refused
    assert all(offer.reason for offer in refused)


@pytest.mark.parametrize(("engine", "offer", "method"), offered())
def test_conforms(engine, offer, method, rows, workdir, request):
    name = "wide" if engine == "llama-cpp" and offer.bits < 4 else "model"
    found = check(backends()[engine], offer, method, request.getfixturevalue(name), rows, workdir / name, 48)
    assert found == []


@pytest.mark.parametrize(("bits", "method"), [(3, "q3_k"), (2, "q2_k")])
def test_widths_that_blocks_do_not_divide_are_refused(bits, method, model, rows, tmp_path):
    wanted = Quantization(bits=bits, scheme="weight-only", method=method)
    request = BuildRequest(model, wanted, "cpu", None, 48, rows, tmp_path, task="text-generation")
    with pytest.raises(UnsupportedError, match="blocks of 256 weights, and rows of 64"):
        backends()["llama-cpp"].build(request, tmp_path)


def test_the_model_has_learnt_its_rule(plain, rows):
    """Else agreement would be agreement on noise."""
    session = load_session(plain, 1)
    right = [(session.score(row)[1][2:] == row[3:]).mean() for row in texts(rows)]
    assert np.mean(right) > 0.5


def test_padding_and_questions_are_no_text(tmp_path):
    ids = np.arange(1, 13).reshape(3, 4)
    mask = np.array([[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0]])
    np.savez(tmp_path / "rows.npz", input_ids=ids, attention_mask=mask, kind=np.array([0, 1, 0]))
    assert [row.tolist() for row in texts(tmp_path / "rows.npz")] == [[1, 2, 3]]


class Forgetful:
    """A session that reads every token as if none came before."""

    def __init__(self, session):
        self._session = session

    def score(self, tokens):
        pairs = [self._session.score(tokens[i : i + 2]) for i in range(len(tokens) - 1)]
        return tuple(np.concatenate(part) for part in zip(*pairs, strict=True))


def test_a_lost_cache_is_refused(plain, model, rows):
    session = load_session(plain, 1)
    assert check_generating_agreement(session, model, rows, 4, 0.01)["differing"] == 0
    with pytest.raises(BuildError, match="do not agree"):
        check_generating_agreement(Forgetful(session), model, rows, 4, 0.5)


class Broken:
    def score(self, tokens):
        return np.full(len(tokens) - 1, np.nan, np.float32), np.zeros(len(tokens) - 1, np.int64)


def test_numbers_that_are_none_are_refused(model, rows):
    with pytest.raises(BuildError, match="not finite"):
        check_generating_agreement(Broken(), model, rows, 2, 1.0)


def test_the_build_job_builds_and_checks(model, rows, workdir, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    asked = {
        "task": "text-generation",
        "checkpoint": str(model),
        "quantization": {"bits": 8, "scheme": "weight-only", "method": "rtn_asym", "kv_bits": 4},
        "device": "cpu",
        "fixed_shape": None,
        "max_length": 48,
        "calibration": str(rows),
        "check": str(rows),
        "samples": 4,
        "cache": str(workdir / "model" / "cache"),
    }
    found = build("openvino", asked, str(out))
    assert found["agreement"]["differing"] < 0.15
    assert sorted(path.name for path in out.iterdir()) == ["artefact.json", "model.bin", "model.xml"]


@pytest.mark.parametrize("engine", ["onnxruntime-genai", "openvino-genai"])
def test_genai_refuses_classifiers(engine, model, rows, tmp_path):
    request = BuildRequest(model, Quantization(), "cpu", None, 48, rows, tmp_path)
    with pytest.raises(UnsupportedError, match="language models only"):
        backends()[engine].build(request, tmp_path)
