"""Which devices are offered where, and what is said where they are not."""

import dataclasses
import importlib.metadata
import subprocess
import sys

import numpy as np
import pytest

from tuner.backends import plugged, registry
from tuner.backends.cuda import offers_on_cuda
from tuner.gpus import Gpu
from tuner.hardware import this_host

H100 = Gpu(0, "GPU-1", "NVIDIA H100", 85521, "9.0", "580")
ABSENT = [
    ("torch", "cuda"), ("torch-compile", "cuda"), ("openvino", "gpu"), ("openvino", "npu"),
    ("xla", "cuda"), ("xla", "tpu"),
    *(("onnxruntime", device) for device in ("cuda", "tensorrt", "directml", "coreml", "rocm", "qnn")),
]  # fmt: skip


@pytest.fixture
def host():
    return dataclasses.replace(this_host(), gpus=(), compiler="/usr/bin/g++")


@pytest.fixture
def with_cuda(monkeypatch):
    """Say that PyTorch and torchao are such as run on a GPU."""
    real = importlib.metadata.version
    said = {"torch": "2.11.0+cu130", "torchao": "0.17.0"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: said.get(name) or real(name))


def on_cuda(host, **more):
    return {(o.bits, o.scheme): o for o in offers_on_cuda(host, **more)}


@pytest.mark.parametrize(("engine", "device"), ABSENT)
def test_an_absent_device_is_refused_with_its_reason(host, engine, device, monkeypatch):
    monkeypatch.setattr(plugged, "providers", lambda: ("CPUExecutionProvider",))
    monkeypatch.setattr(plugged, "openvino_devices", lambda: ("CPU",))
    found = [o for e, o in registry.offers(host) if (e, o.device) == (engine, device)]
    assert found
    assert not any(offer.available for offer in found)
    assert all(len(offer.reason) > 20 for offer in found)


def test_a_gpu_without_a_pytorch_that_has_cuda(host):
    refused = on_cuda(dataclasses.replace(host, gpus=(H100,)))[32, "none"]
    assert "without CUDA" in refused.reason or not importlib.metadata.version("torch").endswith("+cpu")


def test_an_h100_runs_every_format(host, with_cuda):
    found = on_cuda(dataclasses.replace(host, gpus=(H100,)), compiled=True)
    assert all(offer.available and offer.fixed_shape for offer in found.values()), found
    assert set(found) == {
        (32, "none"), (32, "tf32"), (16, "none"), (16, "fp16"), (8, "dynamic"), (8, "weight-only"), (8, "fp8"),
        (4, "weight-only"),
    }  # fmt: skip
    eager = on_cuda(dataclasses.replace(host, gpus=(H100,)))
    assert "torch-compile" in eager[8, "dynamic"].reason


def test_formats_follow_the_card(host, with_cuda):
    older = on_cuda(dataclasses.replace(host, gpus=(dataclasses.replace(H100, name="T4", capability="7.5"),)))
    assert {key for key, offer in older.items() if offer.available} == {(32, "none"), (16, "fp16")}
    assert "T4" in older[16, "none"].reason
    ampere = on_cuda(dataclasses.replace(host, gpus=(dataclasses.replace(H100, capability="8.6"),)))
    assert ampere[16, "none"].available
    assert "8.9" in ampere[8, "fp8"].reason


def test_low_bits_need_torchao(host, monkeypatch):
    def version(name):
        if name == "torchao":
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.11.0"

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = on_cuda(dataclasses.replace(host, gpus=(H100,)))
    assert found[16, "none"].available
    assert "pip install torchao" in found[4, "weight-only"].reason


def test_compiled_code_for_a_gpu_needs_a_compiler_too(host, with_cuda):
    there = dataclasses.replace(host, gpus=(H100,), compiler=None)
    found = [o for e, o in registry.offers(there) if (e, o.device) == ("torch-compile", "cuda")]
    assert found
    assert all("compiler" in offer.reason for offer in found)


def test_listed_plug_ins_are_offered(host, monkeypatch):
    monkeypatch.setattr(plugged, "providers", lambda: ("DmlExecutionProvider", "CPUExecutionProvider"))
    monkeypatch.setattr(plugged, "openvino_devices", lambda: ("CPU", "GPU.0"))
    able = {(e, o.device) for e, o in registry.offers(host) if o.available and o.device != "cpu"}
    assert able == {("onnxruntime", "directml"), ("openvino", "gpu")}


@pytest.mark.parametrize(
    ("question", "has"), [(plugged._ASK_ORT, "CPUExecutionProvider"), (plugged._ASK_OPENVINO, "CPU")]
)
def test_the_engines_answer_what_they_have(question, has):
    assert has in plugged._asked(question)


def test_an_engine_that_ends_while_it_looks_has_nothing():
    assert plugged._asked("import os; os.kill(os.getpid(), 9)") == ()


def test_onnx_runtime_does_not_fall_back_unsaid(tmp_path):
    """An artefact for a provider that is not there is an error, not a slow answer."""
    import json

    from benchmarks.artefacts import stack

    folder = stack(tmp_path / "a", 1, 8)
    described = json.loads((folder / "artefact.json").read_text())
    (folder / "artefact.json").write_text(json.dumps({**described, "device": "cuda"}))
    code = f"from tuner.runtime.loader import load_session; load_session({str(folder)!r}, 1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert "CUDAExecutionProvider" in done.stderr


def test_what_a_provider_leaves_to_the_processor_is_no_answer_of_its_device(tmp_path):
    import onnxruntime as ort

    from benchmarks.artefacts import stack
    from tuner.runtime.onnxruntime_session import _SAY_WHERE, check_placed

    options = ort.SessionOptions()
    options.add_session_config_entry(_SAY_WHERE, "1")
    file = str(stack(tmp_path / "a", 1, 8) / "model.onnx")
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    check_placed(session, ("CPUExecutionProvider",))
    with pytest.raises(RuntimeError, match=r"QNNExecutionProvider left .* to CPUExecutionProvider"):
        check_placed(session, ("QNNExecutionProvider",))


def test_bound_memory_gives_the_same_answers(tmp_path):
    """The way of the GPU's providers, with the processor's memory in the place of theirs."""
    from benchmarks.artefacts import stack
    from tuner.runtime.loader import load_session

    session = load_session(stack(tmp_path / "a", 1, 8), 1)
    for shape in ((1, 4), (3, 7)):
        ids = np.random.default_rng(0).integers(1, 8, shape)
        given = {name: ids if name == "input_ids" else np.ones_like(ids) for name in session.inputs}
        np.testing.assert_array_equal(session._bound(given, "cpu"), session.run(given))


def test_offers_for_devices_that_nobody_had_say_so(host):
    said = {
        (e, o.device): o.note for e, o in registry.offers(host) if e in ("onnxruntime", "openvino", "xla")
    }
    assert said
    for (engine, device), note in said.items():
        ran = device == "cpu" or (engine, device) == ("xla", "cuda")
        assert ("never run" in note) != ran


def test_language_models_on_a_card_have_weights_alone_in_low_bits(host, with_cuda):
    there = dataclasses.replace(host, gpus=(H100,))
    found = [
        (e, o) for e, o in registry.offers(there, "text-generation") if o.device == "cuda" and o.available
    ]
    formats = {(32, "none"), (16, "none"), (16, "fp16"), (8, "weight-only"), (4, "weight-only")}
    assert {(e, o.bits, o.scheme) for e, o in found} == {
        (engine, *form) for engine in ("torch", "torch-compile") for form in formats
    }
    assert not any(o.fixed_shape for _, o in found)
