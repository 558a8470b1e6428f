"""Serve a shaped checkpoint with PyTorch eager. Needs numpy, torch, transformers and safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .padding import padded, run_padded
from .placed import Placed
from .shaped import load_shaped
from .torch_formats import in_format


class Session:
    """The transformers model itself, run eagerly; at a fixed shape on a GPU, its kernels as one CUDA graph."""

    def __init__(self, directory: Path, threads: int, model: nn.Module | None = None) -> None:
        """Load; or take this `model`, already where and how it is to be run, for the artefact's own."""
        described = json.loads((directory / "artefact.json").read_text())
        torch.set_num_threads(threads)
        shape, device = described["fixed_shape"], torch.device(described["device"])
        self.fixed_shape = (int(shape[0]), int(shape[1])) if shape else None
        self.inputs = list(described["inputs"])
        self._model = model or in_format(load_shaped(directory / described["model"]), described, device)
        self._placed = Placed(self._logits, device, len(self.inputs), self.fixed_shape)

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
        return self._placed(*(inputs[name] for name in self.inputs))

    def _logits(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self._model(**dict(zip(self.inputs, tensors, strict=True))).logits


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
