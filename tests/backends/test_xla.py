"""What is XLA's own: programs for platforms that are not here, padding to few shapes, threads, a bundle's needs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tuner.backends import plugged, xla
from tuner.backends.base import BuildRequest
from tuner.backends.xla_export import Programs
from tuner.candidate import Quantization
from tuner.hardware import this_host
from tuner.runtime.buckets import lengths, rows

sys.path.insert(0, str(Path(__file__).parent))
from tiny_models import FAMILIES, MAX_LENGTH, checkpoint


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("bert"), FAMILIES["bert"])


@pytest.fixture(scope="module")
def artefact(bert, tmp_path_factory):
    out, cache = tmp_path_factory.mktemp("artefact"), tmp_path_factory.mktemp("cache")
    request = BuildRequest(bert, Quantization(bits=8, scheme="weight-only"), "cpu", None, 48, cache, cache)
    xla.XlaBackend().build(request, out)
    return out


def test_every_size_has_its_bucket():
    assert lengths(128) == [16, 32, 64, 128]
    assert lengths(48) == [16, 32, 48]
    assert lengths(16) == [16]
    assert lengths(8) == [8]
    assert [rows(count) for count in (1, 2, 3, 5, 8, 9)] == [1, 2, 4, 8, 8, 16]


def test_an_artefact_has_a_program_for_each_length_and_its_weights_once(artefact):
    described = json.loads((artefact / "artefact.json").read_text())
    assert described["programs"] == {str(n): f"{n}.stablehlo" for n in lengths(MAX_LENGTH)}
    programs = sum((artefact / name).stat().st_size for name in described["programs"].values())
    assert programs < 60_000 * len(described["programs"])  # no weights in them
    with np.load(artefact / "weights.npz") as weights:
        kinds = {name: weights[name].dtype for name in weights.files}
    assert kinds["model.bert.encoder.layer.0.output.dense.weight"] == np.int8
    assert kinds["model.bert.embeddings.word_embeddings.weight"] == np.uint16  # bf16: rows are only read


def test_a_bundle_needs_jax_and_neither_pytorch_nor_transformers(artefact):
    code = f"""
import sys, collections, pathlib
import numpy as np
from tuner.runtime.loader import load_session
session = load_session(pathlib.Path({str(artefact)!r}), threads=3)
ids = np.full((1, 5), 7)
print(session.run({{"input_ids": ids, "attention_mask": np.ones_like(ids)}}).shape)
print(*(name for name in ("torch", "torchax", "transformers", "pydantic") if name in sys.modules))
print(sum("XLAEigen" in (task / "comm").read_text() for task in pathlib.Path("/proc/self/task").iterdir()))
from tuner.measure.calls import Answers
calls = {{f"{{name}}.{{i}}": np.ones((1, n), int) for i, n in enumerate((4, 12, 20)) for name in session.inputs}}
Answers(session, calls)
print(sorted(session._compiled))
try:
    session.run({{"input_ids": np.ones((1, 49), int), "attention_mask": np.ones((1, 49), int)}})
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shape, heavy, threads, compiled, refused = done.stdout.splitlines()
    assert (shape, heavy) == ("(1, 3)", "")
    assert threads == "3"  # not as many as the host has cores
    assert compiled == "[(1, 16), (1, 32)]"  # before the first call is timed
    assert refused == "49 tokens, but this artefact is built for 48"
    pins = json.loads((artefact / "artefact.json").read_text())["requirements"]
    assert {pin.partition("==")[0] for pin in pins} == {"jax", "flatbuffers", "numpy"}


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_programs_are_lowered_for_platforms_that_are_not_here(bert, platform):
    from jax import export

    program = export.deserialize(bytearray(Programs(bert, 32).lowered(platform, 16)))
    assert program.platforms == (platform,)
    # Unasked, a TPU multiplies fp32 in bf16, and a GPU in tf32.
    assert "precision = [HIGHEST, HIGHEST]" in str(program.mlir_module())
    assert "precision = [DEFAULT, DEFAULT]" not in str(program.mlir_module())


def test_an_artefact_for_a_tpu_does_not_run_on_the_processor_unsaid(artefact, tmp_path):
    described = json.loads((artefact / "artefact.json").read_text())
    (tmp_path / "artefact.json").write_text(json.dumps({**described, "device": "tpu"}))
    code = f"from tuner.runtime.loader import load_session; load_session({str(tmp_path)!r}, 1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert "tpu" in done.stderr.splitlines()[-1]


def test_it_says_what_nobody_ever_ran(monkeypatch):
    monkeypatch.setattr(xla, "no_jax_platform", lambda device, host: "")
    found = [offer for offer in xla.XlaBackend().offers(this_host()) if offer.device == "tpu"]
    assert {(o.bits, o.scheme) for o in found if o.available} == {
        (32, "none"),
        (16, "none"),
        (8, "weight-only"),
    }
    assert all("never run" in offer.note for offer in found if offer.available)


def test_jax_itself_is_asked_for_its_devices():
    assert plugged.jax_devices("cpu") == ("cpu",)
    assert plugged.jax_devices("tpu") == ()
