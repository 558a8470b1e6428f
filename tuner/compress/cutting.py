"""Cutting: take rows out of the matrices that make heads or neurons, and columns out of those that take them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from tuner.compress.anatomy import part


def best(scores: np.ndarray, count: int) -> torch.Tensor:
    """Return the numbers of the highest scores in their old order; of equals the first."""
    return torch.from_numpy(np.sort(np.argsort(-scores, kind="stable")[:count]))


def cut(
    block: nn.Module, producers: Mapping[str, int], consumer: str, count: int, keep: torch.Tensor
) -> None:
    """Keep these of `count` heads or neurons: rows of what makes them, columns of what takes them."""
    for path, blocks in producers.items():
        found = part(block, path)
        if isinstance(found, nn.Linear):
            _slice(found, "weight", 0, _rows(found.weight.shape[0], blocks, count, keep))
            if found.bias is not None:
                _slice(found, "bias", 0, _rows(found.bias.shape[0], blocks, count, keep))
            found.out_features = found.weight.shape[0]
        elif found is not None:
            parent, _, leaf = path.rpartition(".")
            _slice(block.get_submodule(parent), leaf, 0, _rows(found.shape[0], blocks, count, keep))
    out = block.get_submodule(consumer)
    _slice(out, "weight", 1, _rows(out.weight.shape[1], 1, count, keep))
    out.in_features = out.weight.shape[1]


def _rows(size: int, blocks: int, count: int, keep: torch.Tensor) -> torch.Tensor:
    """Return the numbers of the rows that belong to the kept heads in each block."""
    return torch.arange(size).view(blocks, count, -1)[:, keep].flatten()


def _slice(module: nn.Module, name: str, dim: int, index: torch.Tensor) -> None:
    setattr(module, name, nn.Parameter(getattr(module, name).detach().index_select(dim, index)))
