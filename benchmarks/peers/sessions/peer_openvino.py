"""Serve a peer's OpenVINO model with the properties that the peer says, and OpenVINO's own defaults for the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino as ov

from tuner.runtime.padding import run_padded


class Session:
    """One compiled model."""

    def __init__(self, directory: Path, threads: int) -> None:
        described = json.loads((directory / "artefact.json").read_text())
        shape = described["fixed_shape"]
        self.fixed_shape = (int(shape[0]), int(shape[1])) if shape else None
        settings = {"INFERENCE_NUM_THREADS": threads, **described["settings"]}
        compiled = ov.Core().compile_model(described["model"], "CPU", settings)
        self._request = compiled.create_infer_request()
        self.inputs = [port.get_any_name() for port in compiled.inputs]

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return float32 logits (batch, labels) of int64 inputs (batch, sequence)."""
        if self.fixed_shape is None:
            return self._infer(inputs)
        return run_padded(self._infer, inputs, self.fixed_shape)

    def _infer(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        none = np.zeros_like(inputs["input_ids"])  # one text is one segment
        given = {name: inputs.get(name, none) for name in self.inputs}
        return np.array(self._request.infer(given, share_inputs=True)[0], dtype=np.float32)


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
