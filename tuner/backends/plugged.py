"""Devices beyond the processor that ONNX Runtime and OpenVINO reach through plug-ins of their own.

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
_FLAVOURS = ("gpu", "directml", "migraphx", "rocm", "qnn", "openvino")
_NODES = ("dri/renderD*", "accel/accel*")  # what an Intel GPU or NPU is under /dev on Linux
_PATIENCE = 60  # seconds
_ASK_ORT = "import json, onnxruntime; print(json.dumps(onnxruntime.get_available_providers()))"
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
