"""Masks: the squared gradients of masks that are one everywhere, for each head and neuron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from tuner.compress.anatomy import Anatomy


class Masks:
    """Multiplies what each head and neuron hands on by ones, and gathers the squared gradients of these.

    A mask has the shape (batch, 1, width), one row per document, so one backward pass gives each document's
    own gradient. A layer that is run several times (ALBERT) sees the same mask each time: its gradients add
    up.
    """

    def __init__(self, model: nn.Module, structure: Anatomy) -> None:
        parts, self.units = structure.parts, structure.units(model)
        self.sums: dict[str, list[torch.Tensor]] = {"heads": [], "ffn": []}
        self._sites: list[tuple[str, int, int]] = []  # axis, layer, heads or neurons
        self._widths: list[int] = []
        self._masks: list[torch.Tensor] = []
        for layer, (_, block) in enumerate(self.units):
            assert parts is not None
            self._site(block.get_submodule(parts.heads_out), "heads", layer, structure.heads)
            self._site(block.get_submodule(parts.ffn_out), "ffn", layer, structure.ffn)

    def _site(self, consumer: nn.Module, axis: str, layer: int, count: int) -> None:
        index = len(self._sites)
        self._sites.append((axis, layer, count))
        self._widths.append(consumer.in_features)
        self.sums[axis].append(torch.zeros(count, dtype=torch.float64))

        def multiply(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            return (inputs[0] * self._masks[index], *inputs[1:])

        consumer.register_forward_pre_hook(multiply)

    def add(self, batch: int, loss: Callable[[], torch.Tensor]) -> None:
        """Add the squares of one batch, whose summed loss `loss()` returns; `batch` is its documents."""
        self._masks = [torch.ones(batch, 1, width, requires_grad=True) for width in self._widths]
        for site, gradient in zip(self._sites, torch.autograd.grad(loss(), self._masks), strict=True):
            axis, layer, count = site
            # A head's mask scales all its dimensions at once: its gradient is the sum of theirs.
            per_unit = gradient.double().view(batch, count, -1).sum(-1)
            self.sums[axis][layer] += per_unit.square().sum(0)

    def scores(self) -> dict[str, Any]:
        """Return float64 `heads` (layers, heads) and `ffn` (layers, neurons)."""
        empty = np.zeros((len(self.units), 0))
        return {k: np.stack([s.numpy() for s in sums]) if sums else empty for k, sums in self.sums.items()}
