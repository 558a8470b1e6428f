"""What PyTorch's sessions of classifiers share: padding to a fixed shape, and calls on whatever device the model is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from .padding import padded, run_padded
from .placed import Call, Placed


class Running:
    """A model's call as a session; at a fixed shape on a GPU, its kernels as one CUDA graph.

    `least` is the fewest tokens that the model takes: shorter inputs are padded to so many.
    """

    def __init__(self, described: Mapping[str, Any], call: Call, least: int = 0) -> None:
        shape = described["fixed_shape"]
        self.fixed_shape = (int(shape[0]), int(shape[1])) if shape else None
        self.inputs = list(described["inputs"])
        self._least = least
        device = torch.device(described["device"])
        self._placed = Placed(call, device, len(self.inputs), self.fixed_shape)

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
