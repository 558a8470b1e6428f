"""Serve a shaped checkpoint with PyTorch eager. Needs numpy, torch, transformers and safetensors."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from .shaped import load_shaped
from .torch_formats import in_format
from .torch_running import Running


class Session(Running):
    """The transformers model itself, run eagerly."""

    def __init__(self, directory: Path, threads: int, model: nn.Module | None = None) -> None:
        """Load; or take this `model`, already where and how it is to be run, for the artefact's own."""
        described = json.loads((directory / "artefact.json").read_text())
        torch.set_num_threads(threads)
        device = torch.device(described["device"])
        self._model = model or in_format(load_shaped(directory / described["model"]), described, device)
        super().__init__(described, self._logits)

    def _logits(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self._model(**dict(zip(self.inputs, tensors, strict=True))).logits


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
