"""2:4 sparsity: of each four weights in a row two are zero, which sparse tensor cores multiply at twice the rate.

Semi-structured pruning by magnitude (Mishra et al. 2021, "Accelerating Sparse Deep Neural Networks", arXiv 2104.08378,
section 3). The zeros are really in the weights: every engine computes with them, and quality is what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from tuner.compress.anatomy import Anatomy
from tuner.errors import UnsupportedError
from tuner.runtime.torch_formats import sparse_fits

_GROUP, _KEPT = 4, 2


def mask_2_of_4(weight: torch.Tensor) -> torch.Tensor:
    """Return which weights (out, in) stay: the two largest by magnitude of each four in a row; of equals the first."""
    groups = weight.detach().abs().view(weight.shape[0], -1, _GROUP)
    order = groups.argsort(dim=-1, descending=True, stable=True)
    kept = torch.zeros_like(groups, dtype=torch.bool).scatter_(-1, order[..., :_KEPT], True)
    return kept.view(weight.shape)


def prune_2_of_4(model: nn.Module, structure: Anatomy) -> int:
    """Zero half of the weights of the encoder's linear layers in place; return how many layers that were.

    Raises:
        UnsupportedError: none of them has widths that the kernels take.
    """
    found = list(_layers(model, structure))
    if not found:
        raise UnsupportedError("semi_structured: no linear layer has widths that 2:4 kernels take")
    for layer in found:
        layer.weight.data *= mask_2_of_4(layer.weight)
    return len(found)


def held(model: nn.Module, structure: Anatomy) -> Callable[[], None]:
    """Return what puts the zeros back that the model's layers have now: to be called after each step of training."""
    masks = [(layer.weight, mask_2_of_4(layer.weight)) for layer in _layers(model, structure)]

    @torch.no_grad()
    def again() -> None:
        for weight, mask in masks:
            weight.mul_(mask)

    return again


def _layers(model: nn.Module, structure: Anatomy) -> Iterator[nn.Linear]:
    for _, block in structure.units(model):
        yield from (m for m in block.modules() if isinstance(m, nn.Linear) and sparse_fits(m))
