"""A GGUF whose matrices have 4 bits by GPTQ, but for those that lose most by it, which keep 8."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tuner.backends.base import BuildRequest
from tuner.backends.gguf_file import in_their_order, write_gguf
from tuner.backends.gptq import BLOCK, HEAD, Rounded, rounded
from tuner.errors import BuildError

_ZERO = 8  # the level that stands for nothing in ggml's `block_q4_0`


def write_mixed(request: BuildRequest, file: Path, share: float, head: bool) -> None:
    """Write the file; `share` of the layers' weights keep 8 bits, and the head's unless `head` says that it has 4, too.

    Raises:
        BuildError: the model's widths do not divide into blocks.
    """
    import gguf

    config = json.loads((request.checkpoint / "config.json").read_text())
    try:
        found = rounded(request.checkpoint, request.calibration, request.cache)
    except ValueError as error:
        raise BuildError(f"GPTQ: {error}") from error
    spared, kinds = found.spared(share), gguf.GGMLQuantizationType

    def stored(name: str, array: np.ndarray) -> tuple[np.ndarray, Any] | None:
        if array.ndim != 2:
            return (found.norms[name], kinds.F32) if name in found.norms else None
        if name in found.levels and name not in spared and (head or name != HEAD):
            return packed(*_ordered(name, found, config)), kinds.Q4_0
        return gguf.quants.quantize(array, kinds.Q8_0), kinds.Q8_0

    write_gguf(request.checkpoint, file, stored, own_head=head)


def _ordered(name: str, found: Rounded, config: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    parts = (found.levels[name], found.scales[name])
    levels, scales = (in_their_order(name, part, config) for part in parts)
    return levels, scales


def packed(levels: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return rows of ggml's `block_q4_0`: an fp16 scale, then 16 bytes with a weight of each half of the block."""
    rows, columns = levels.shape
    blocks = (levels + _ZERO).astype(np.uint8).reshape(rows, columns // BLOCK, 2, BLOCK // 2)
    pairs = blocks[:, :, 0] | (blocks[:, :, 1] << 4)
    heads = np.ascontiguousarray(scales.astype(np.float16)).view(np.uint8).reshape(rows, columns // BLOCK, 2)
    return np.concatenate([heads, pairs], axis=2).reshape(rows, -1)
