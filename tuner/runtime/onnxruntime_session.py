"""Serve an ONNX artefact with ONNX Runtime. Needs numpy and onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "rocm": "MIGraphXExecutionProvider",
    "qnn": "QNNExecutionProvider",
}
#: What takes the operators that a provider has not, before the processor does.
_BESIDE = {"TensorrtExecutionProvider": ("CUDAExecutionProvider",)}


class Session:
    """One ONNX Runtime session, on the processor or on the device of an execution provider."""

    fixed_shape: tuple[int, int] | None = None

    def __init__(self, directory: Path, threads: int) -> None:
        described = json.loads((directory / "artefact.json").read_text())
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        # Idle threads that spin steal the core from whatever else runs, other replicas above all.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        wanted = _PROVIDERS[described["device"]]
        providers = list(dict.fromkeys([wanted, *_BESIDE.get(wanted, ()), "CPUExecutionProvider"]))
        self._session = ort.InferenceSession(
            str(directory / described["model"]), options, providers=providers
        )
        if (
            self._session.get_providers()[0] != wanted
        ):  # it goes on with the processor, and says so in its log only
            raise RuntimeError(f"ONNX Runtime could not load {wanted}")
        self.inputs = [node.name for node in self._session.get_inputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return float32 logits (batch, labels) of int64 inputs (batch, sequence)."""
        return self._session.run(None, {name: inputs[name] for name in self.inputs})[0]


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
