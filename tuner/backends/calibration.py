"""What int8 builds need: real documents to find the ranges with, and whether int8 products saturate here."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_INPUTS = ("input_ids", "attention_mask")
#: Instruction sets that add int8 products straight into 32 bits.
_WIDE_SUMS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimd")


def documents(calibration: Path) -> Iterator[dict[str, np.ndarray]]:
    """Yield one document (1, tokens) at a time, without its padding, which would widen the ranges."""
    with np.load(calibration) as arrays:
        inputs = {name: arrays[name] for name in _INPUTS}
    for row, mask in enumerate(inputs["attention_mask"]):
        length = max(int(mask.sum()), 2)
        yield {name: array[row : row + 1, :length] for name, array in inputs.items()}


def saturates() -> bool:
    """Say whether int8 products saturate here.

    Without VNNI or its like, kernels add pairs of uint8 x int8 products in 16 bits (`vpmaddubsw`), which
    overflows unless the weights keep to 7 bits: the artefact stays as fast and loses its answers unsaid.
    """
    from tuner.hardware import this_host

    return not any(this_host().has(flag) for flag in _WIDE_SUMS)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what the quantizers print (progress bars, advice) to stderr: stdout is for results."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
