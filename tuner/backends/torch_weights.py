"""Stored weights in another number format."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def store_weights(file: Path, bits: int) -> None:
    """Rewrite a safetensors file with its floating tensors in bf16 (16) or fp32 (32)."""
    dtype = {16: torch.bfloat16, 32: torch.float32}[bits]
    state = load_file(file)
    save_file(
        {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}, file, {"format": "pt"}
    )
