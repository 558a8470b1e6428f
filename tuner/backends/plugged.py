"""Devices beyond the processor that ONNX Runtime, OpenVINO and JAX reach through plug-ins of their own.

What is there is asked of the engines themselves, in a process of its own and only where a plug-in could be: an engine's
import takes half a second, and loads what no worker needs.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

from tuner.backends.cuda import no_gpu
from tuner.hardware import Host

#: Device, ONNX Runtime's name of its execution provider, and the package that brings it.
PROVIDERS = {
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu and tensorrt"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml (Windows)"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime on macOS"),
    "rocm": ("MIGraphXExecutionProvider", "onnxruntime-migraphx"),
    "qnn": ("QNNExecutionProvider", "onnxruntime-qnn"),
}
OPENVINO_DEVICES = {"gpu": "an Intel GPU and its OpenCL driver", "npu": "an Intel NPU and its driver"}
#: JAX's platforms, and the distributions that bring one (a GPU's in pairs, for one version of CUDA or another).
JAX_PLATFORMS = {
    "cuda": ("jax-cuda13-plugin", "jax-cuda13-pjrt", "jax-cuda12-plugin", "jax-cuda12-pjrt"),
    "tpu": ("libtpu",),
}
_JAX_EXTRAS = {"cuda": "jax[cuda13]", "tpu": "jax[tpu]"}
_FLAVOURS = ("gpu", "directml", "migraphx", "rocm", "qnn", "openvino")
_NODES = ("dri/renderD*", "accel/accel*")  # what an Intel GPU or NPU is under /dev on Linux
_PATIENCE = 60  # seconds
_ASK_ORT = "import json, onnxruntime; print(json.dumps(onnxruntime.get_available_providers()))"
_ASK_JAX = "import json, jax; print(json.dumps([d.platform for d in jax.devices({!r})]))"
_ASK_OPENVINO = "import json, openvino; print(json.dumps(openvino.Core().available_devices))"


def no_provider(device: str) -> str:
    """Return why ONNX Runtime cannot run on a device here, or nothing."""
    provider, package = PROVIDERS[device]
    if provider in providers():
        return ""
    return f"this ONNX Runtime has no {provider}: it comes with {package}"


def no_openvino_device(device: str) -> str:
    """Return why OpenVINO cannot run on a device here, or nothing."""
    if any(name.split(".")[0].lower() == device for name in openvino_devices()):
        return ""
    return f"OpenVINO finds no {device.upper()} here: it needs {OPENVINO_DEVICES[device]}"


def no_jax_platform(device: str, host: Host) -> str:
    """Return why JAX cannot run on a platform here, or nothing; the processor's is part of JAX."""
    if device not in JAX_PLATFORMS:
        return ""
    if device == "cuda" and not host.gpus:
        return no_gpu(host)
    if not any(_installed(name) for name in JAX_PLATFORMS[device]):
        return f"JAX has no plug-in for {device.upper()} here: pip install {_JAX_EXTRAS[device]!r}"
    return (
        "" if jax_devices(device) else f"JAX finds no {device.upper()} here, though its plug-in is installed"
    )


@cache
def jax_devices(device: str) -> tuple[str, ...]:
    """Return JAX's devices of one platform; asked only where its plug-in is installed."""
    return _asked(_ASK_JAX.format(device))


@cache
def providers() -> tuple[str, ...]:
    """Return ONNX Runtime's execution providers beside the processor's."""
    flavours = [name for name in _FLAVOURS if _installed(f"onnxruntime-{name}")]
    plain_has_more = platform.system() in ("Darwin", "Windows") and _installed("onnxruntime")
    return _asked(_ASK_ORT) if flavours or plain_has_more else ()


@cache
def openvino_devices() -> tuple[str, ...]:
    """Return OpenVINO's devices, such as CPU, GPU.0, NPU; nothing where there can only be a processor."""
    somewhere = platform.system() != "Linux" or any(any(Path("/dev").glob(node)) for node in _NODES)
    return _asked(_ASK_OPENVINO) if somewhere and _installed("openvino") else ()


def _asked(question: str) -> tuple[str, ...]:
    """Return the list that a small program prints, nothing if it fails: a broken driver must not end us."""
    try:
        command = [sys.executable, "-c", question]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PATIENCE)
        return tuple(json.loads(done.stdout.splitlines()[-1]))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return ()


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
