"""Every engine through the conformance suite, in every number format this host has, on whole and pruned models."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tuner.backends.base import Offer
from tuner.backends.conformance import check
from tuner.backends.registry import backends, offers
from tuner.compress.shape import shape
from tuner.hardware import this_host

sys.path.insert(0, str(Path(__file__).parent))
from tiny_models import FAMILIES, MAX_LENGTH, checkpoint, inputs

OFFERED = [
    (engine, offer)
    for engine, offer in offers(this_host(), "text-classification")
    if offer.available and offer.device == "cpu"
]
FIXED = [pair for pair in OFFERED if pair[1].fixed_shape]
SLOW = {name: pytest.param(name, marks=pytest.mark.slow) for name in ("torch-compile", "xla")}


def quick(engine, offer, fixed=False):
    """Return the pair, marked where it is slow and little is learnt: XLA compiles each format for each shape.

    That torch.compile takes a fixed shape is seen at 32 bits, and that 16 bits answer well where shapes are free.
    """
    slow = offer.bits != 32 and (engine == "xla" or (engine == "torch-compile" and fixed))
    marks = pytest.mark.slow if slow else []
    return pytest.param(engine, offer, marks=marks, id=f"{engine}-{offer.bits}-{offer.scheme}")


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return inputs(tmp_path_factory.mktemp("data") / "documents.npz")


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("bert"), FAMILIES["bert"])


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Where all builds of `bert` are, so that they share an export as those of a study do."""
    return tmp_path_factory.mktemp("built")


@pytest.fixture(scope="module")
def pruned(bert, tmp_path_factory):
    scores, out = tmp_path_factory.mktemp("importance"), tmp_path_factory.mktemp("pruned")
    rng = np.random.default_rng(0)
    np.savez(scores / "importance.npz", heads=rng.random((2, 4)), ffn=rng.random((2, 64)))
    shape(str(bert), str(scores), 1, 0.5, 0.5, str(out))
    return out


def test_all_five_engines_are_installed_and_run():
    assert {engine for engine, _ in OFFERED} >= {"torch", "torch-compile", "onnxruntime", "openvino", "xla"}


def test_every_no_has_a_reason():
    refused = [
        (engine, offer) for engine, offer in offers(this_host(), "text-classification") if not offer.available
    ]
    assert refused
    assert all(offer.reason for _, offer in refused)


@pytest.mark.parametrize(("engine", "offer"), [quick(*pair) for pair in OFFERED])
def test_dynamic(engine, offer, bert, documents, built):
    assert check(backends()[engine], offer, bert, documents, built, MAX_LENGTH) == []


@pytest.mark.parametrize(("engine", "offer"), [quick(*pair, fixed=True) for pair in FIXED])
def test_fixed_shape(engine, offer, bert, documents, built):
    found = check(backends()[engine], offer, bert, documents, built, MAX_LENGTH, fixed_shape=(2, 32))
    assert found == []


def test_onnx_runtime_with_one_shape_for_compilers_that_take_no_other(bert, documents, tmp_path):
    offer = next(o for e, o in OFFERED if e == "onnxruntime" and o.bits == 32)
    found = check(
        backends()["onnxruntime"], offer, bert, documents, tmp_path, MAX_LENGTH, fixed_shape=(2, 32)
    )
    assert found == []


@pytest.mark.parametrize("engine", ["torch", "torch-compile", "onnxruntime", "openvino", SLOW["xla"]])
def test_pruned_model(engine, pruned, documents, tmp_path):
    offer = next(o for e, o in OFFERED if e == engine and o.bits == 32)
    assert check(backends()[engine], offer, pruned, documents, tmp_path, MAX_LENGTH) == []


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "bert"])
@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino", SLOW["torch-compile"], SLOW["xla"]])
def test_families(engine, family, documents, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    offer = next(o for e, o in OFFERED if e == engine and o.bits == 32)
    found = check(
        backends()[engine], offer, checkpoint(source, FAMILIES[family]), documents, tmp_path / "w", MAX_LENGTH
    )
    assert found == []


class Corrupting:
    """A plug-in that builds well and then changes one matrix: the suite must notice."""

    name = "corrupting"

    def build(self, request, out):
        from safetensors.torch import load_file, save_file

        backends()["torch"].build(request, out)
        file = out / "model" / "model.safetensors"
        state = load_file(file)
        state["bert.encoder.layer.0.output.dense.weight"] *= -1
        save_file(state, file, {"format": "pt"})


def test_the_suite_finds_a_corrupted_artefact(bert, documents, tmp_path):
    found = check(Corrupting(), Offer("cpu", 32, tolerance=1e-4), bert, documents, tmp_path, MAX_LENGTH)
    assert any("relative error" in line for line in found)


class MergedInputs:
    """ONNX Runtime fed by an export with one example tensor for both inputs: the mask loses its consumers."""

    name = "merged-inputs"

    def build(self, request, out):
        import tuner.backends.onnx_export as exporting

        given, ids = exporting.examples, exporting.examples()[0]
        exporting.examples = lambda *shape: (ids, ids)
        try:
            backends()["onnxruntime"].build(request, out)
        finally:
            exporting.examples = given


def test_the_suite_finds_a_lost_attention_mask(bert, documents, tmp_path):
    offer = next(o for e, o in OFFERED if (e, o.bits, o.scheme) == ("onnxruntime", 8, "dynamic"))
    found = check(MergedInputs(), offer, bert, documents, tmp_path, MAX_LENGTH)
    assert found
