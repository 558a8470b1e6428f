"""What PyTorch's engines store of a checkpoint: the same files, the weights in the format that they are loaded in."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tuner.candidate import Quantization
from tuner.runtime.torch_formats import dtype_of

_FILES = ("config.json", "model.safetensors", "shape.json")


def store_model(checkpoint: Path, wanted: Quantization, model: Path) -> None:
    """Copy a checkpoint into the new directory `model`; low-bit weights are stored in bf16."""
    model.mkdir()
    for name in _FILES:
        shutil.copyfile(checkpoint / name, model / name)
    if wanted.bits < 32:
        _store_weights(model / "model.safetensors", dtype_of(wanted.bits, wanted.scheme))


def _store_weights(file: Path, dtype: torch.dtype) -> None:
    """Rewrite a safetensors file with its floating tensors in `dtype`."""
    state = load_file(file)
    save_file(
        {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}, file, {"format": "pt"}
    )
