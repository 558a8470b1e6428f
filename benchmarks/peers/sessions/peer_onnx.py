"""Serve a peer's ONNX model as that peer says: its session options, whatever inputs it declares, any fixed shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from tuner.runtime.padding import run_padded

_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_ENUMS = {"execution_mode": ort.ExecutionMode, "graph_optimization_level": ort.GraphOptimizationLevel}
_NOT_HERE = ("enable_profiling", "extra_session_config")


class Session:
    """One ONNX Runtime session on the CPU."""

    def __init__(self, directory: Path, threads: int) -> None:
        described = json.loads((directory / "artefact.json").read_text())
        shape = described["fixed_shape"]
        self.fixed_shape = (int(shape[0]), int(shape[1])) if shape else None
        self._session = ort.InferenceSession(
            described["model"], _options(described["settings"], threads), providers=["CPUExecutionProvider"]
        )
        self._types = {node.name: _TYPES[node.type] for node in self._session.get_inputs()}
        self.inputs = list(self._types)

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return float32 logits (batch, labels) of int64 inputs (batch, sequence)."""
        if self.fixed_shape is None:
            return self._infer(inputs)
        return run_padded(self._infer, inputs, self.fixed_shape)

    def _infer(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        none = np.zeros_like(inputs["input_ids"])  # one text is one segment
        given = {name: inputs.get(name, none).astype(kind, copy=False) for name, kind in self._types.items()}
        return self._session.run(None, given)[0]


def _options(settings: Mapping[str, Any], threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    # As for our own sessions: threads that are idle after a call must not compute beside what is measured next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    for key, value in (settings.get("extra_session_config") or {}).items():
        options.add_session_config_entry(key, str(value))
    for name, value in settings.items():
        if name not in _NOT_HERE and value is not None:
            setattr(options, name, _ENUMS[name](value) if name in _ENUMS else value)
    return options


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
