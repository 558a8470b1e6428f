"""Fixed-shape artefacts take any batch: inputs are padded to their shape, and larger batches are split."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]


def run_padded(run: Callable[[Arrays], np.ndarray], inputs: Arrays, shape: tuple[int, int]) -> np.ndarray:
    """Run int64 inputs (batch, sequence) through a function that takes just `shape`; pads are zeros, masked.

    Raises:
        ValueError: the inputs are longer than the shape's sequence.
    """
    batch, length = shape
    rows, given = next(iter(inputs.values())).shape
    if given > length:
        raise ValueError(f"{given} tokens, but this artefact is built for {length}")
    if (rows, given) == shape:
        return run(inputs)
    chunks = [{k: padded(v[i : i + batch], shape) for k, v in inputs.items()} for i in range(0, rows, batch)]
    return np.concatenate([run(chunk) for chunk in chunks])[:rows]


def padded(array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the array (at most `shape`) with zeros to its right; rows below it repeat the first.

    A row without any unmasked token would make some attention kernels divide by zero.
    """
    out = np.zeros(shape, dtype=np.int64)
    out[:, : array.shape[1]] = array[0]
    out[: array.shape[0], : array.shape[1]] = array
    return out
