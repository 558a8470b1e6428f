"""Serve an AOTInductor package. Needs numpy and torch; no compiler, no transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch._inductor import aoti_load_package

from .padding import padded, run_padded
from .placed import Placed

_LEAST = 17  # rows of a product that cuBLAS takes in int8: shorter inputs are padded to so many tokens


class Session:
    """A compiled model; at a fixed shape on a GPU, its kernels as one CUDA graph."""

    def __init__(self, directory: Path, threads: int) -> None:
        described = json.loads((directory / "artefact.json").read_text())
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision("high" if described["scheme"] == "tf32" else "highest")
        shape, device = described["fixed_shape"], torch.device(described["device"])
        self.fixed_shape = (int(shape[0]), int(shape[1])) if shape else None
        self.inputs = list(described["inputs"])
        on_gpu = device.type == "cuda"
        self._least = _LEAST if on_gpu and (described["bits"], described["scheme"]) == (8, "dynamic") else 0
        # A capture must hold kernels only: the package's own bookkeeping of who still runs asks the GPU.
        model = aoti_load_package(
            str(directory / described["model"]), run_single_threaded=bool(on_gpu and self.fixed_shape)
        )
        self._placed = Placed(model, device, len(self.inputs), self.fixed_shape)

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return float32 logits (batch, labels) of int64 inputs (batch, sequence)."""
        if self.fixed_shape is None:
            return self._infer(inputs)
        return run_padded(self._infer, inputs, self.fixed_shape)

    def details(self, inputs: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return what the device says of calls with these inputs: see `Placed.details`; nothing on a processor."""
        shape = self.fixed_shape
        return self._placed.details(*(padded(inputs[n], shape) if shape else inputs[n] for n in self.inputs))

    def _infer(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        arrays = [inputs[name] for name in self.inputs]
        rows, length = arrays[0].shape
        if length < self._least:
            arrays = [padded(array, (rows, self._least)) for array in arrays]
        return self._placed(*arrays)


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
