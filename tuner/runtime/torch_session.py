"""Serve a shaped checkpoint with PyTorch eager. Needs numpy, torch, transformers and safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from .shaped import load_shaped

_DTYPES = {32: torch.float32, 16: torch.bfloat16}


class Session:
    """The transformers model itself, run eagerly."""

    fixed_shape: tuple[int, int] | None = None

    def __init__(self, directory: Path, threads: int) -> None:
        described = json.loads((directory / "artefact.json").read_text())
        torch.set_num_threads(threads)
        self.inputs = list(described["inputs"])
        self._model = load_shaped(directory / described["model"]).to(_DTYPES[described["bits"]])

    @torch.inference_mode()
    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return float32 logits (batch, labels) of int64 inputs (batch, sequence)."""
        tensors = {name: torch.from_numpy(inputs[name]) for name in self.inputs}
        return self._model(**tensors).logits.float().numpy()


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
