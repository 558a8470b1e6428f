"""Serve an OpenVINO artefact. Needs numpy and openvino."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import openvino as ov

from .padding import run_padded


class Session:
    """One compiled model with one stream, for the lowest latency of a single request."""

    def __init__(self, directory: Path, threads: int) -> None:
        described = json.loads((directory / "artefact.json").read_text())
        shape = described["fixed_shape"]
        self.fixed_shape = (int(shape[0]), int(shape[1])) if shape else None
        core = ov.Core()
        device = str(described["device"]).upper()
        # Said outright: a host with bf16 instructions would use them for an fp32 artefact unasked.
        half = described["bits"] == 16 and _half(
            device, core.get_property(device, "OPTIMIZATION_CAPABILITIES")
        )
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_PRECISION_HINT": half or "f32",
            **(_on_processor(threads) if device == "CPU" else {}),
        }
        compiled = core.compile_model(str(directory / described["model"]), device, settings)
        self._request = compiled.create_infer_request()
        self.inputs = [port.get_any_name() for port in compiled.inputs]

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return float32 logits (batch, labels) of int64 inputs (batch, sequence)."""
        if self.fixed_shape is None:
            return self._infer(inputs)
        return run_padded(self._infer, inputs, self.fixed_shape)

    def _infer(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        outputs = self._request.infer({name: inputs[name] for name in self.inputs}, share_inputs=True)
        return np.array(outputs[0], dtype=np.float32)


def _half(device: str, capabilities: Collection[str]) -> str:
    """Return the 16-bit format that a device computes in, nothing if it has none; a processor's is bf16."""
    hints = [("bf16", "BF16"), *([("f16", "FP16")] if device != "CPU" else [])]
    return next((hint for hint, name in hints if name in capabilities), "")


def _on_processor(threads: int) -> dict[str, object]:
    return {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}  # the process is pinned already


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
