"""Serve an ONNX artefact with ONNX Runtime. Needs numpy and onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from .padding import run_padded

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
#: In whose memory inputs and outputs are bound, for devices that have one of their own.
_MEMORY = {"cuda": "cuda", "tensorrt": "cuda"}
_PRODUCTS = ("MatMul", "Gemm")
_SAY_WHERE = "session.record_ep_graph_assignment_info"


class Session:
    """One ONNX Runtime session, on the processor or on the device of an execution provider."""

    def __init__(self, directory: Path, threads: int) -> None:
        described = json.loads((directory / "artefact.json").read_text())
        shape = described["fixed_shape"]
        self.fixed_shape = (int(shape[0]), int(shape[1])) if shape else None
        self._memory = _MEMORY.get(described["device"])
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        # Idle threads that spin steal the core from whatever else runs, other replicas above all.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        wanted = _PROVIDERS[described["device"]]
        options.add_session_config_entry(_SAY_WHERE, str(int(described["device"] != "cpu")))
        meant = (wanted, *_BESIDE.get(wanted, ()))
        providers = list(dict.fromkeys([*meant, "CPUExecutionProvider"]))
        self._session = ort.InferenceSession(
            str(directory / described["model"]), options, providers=providers
        )
        if (
            self._session.get_providers()[0] != wanted
        ):  # it goes on with the processor, and says so in its log only
            raise RuntimeError(f"ONNX Runtime could not load {wanted}")
        if described["device"] != "cpu":
            check_placed(self._session, meant)
        self.inputs = [node.name for node in self._session.get_inputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return float32 logits (batch, labels) of int64 inputs (batch, sequence)."""
        if self.fixed_shape is None:
            return self._infer(inputs)
        return run_padded(self._infer, inputs, self.fixed_shape)

    def _infer(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        if self._memory is None:
            return self._session.run(None, {name: inputs[name] for name in self.inputs})[0]
        return self._bound(inputs, self._memory)

    def _bound(self, inputs: Mapping[str, np.ndarray], memory: str) -> np.ndarray:
        """Run with inputs and outputs in the device's memory: one copy there, one back, none in between."""
        binding = self._session.io_binding()
        for name in self.inputs:
            array = np.ascontiguousarray(inputs[name])
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array, memory, 0))
        binding.bind_output(self._session.get_outputs()[0].name, memory)
        self._session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()[0]


def check_placed(session: ort.InferenceSession, providers: tuple[str, ...]) -> None:
    """Check that these providers took the matrix products: what a provider leaves, the processor computes unsaid.

    Raises:
        RuntimeError: they left most of them.
    """
    where = [
        part.ep_name
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
        if node.op_type in _PRODUCTS
    ]
    left = [name for name in where if name not in providers]
    if 2 * len(left) > len(where):
        raise RuntimeError(
            f"{providers[0]} left {len(left)} of {len(where)} matrix products to {', '.join(sorted(set(left)))}"
        )


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
