"""Stored weights in another number format."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def store_weights(file: Path, dtype: torch.dtype) -> None:
    """Rewrite a safetensors file with its floating tensors in `dtype`."""
    state = load_file(file)
    save_file(
        {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}, file, {"format": "pt"}
    )
