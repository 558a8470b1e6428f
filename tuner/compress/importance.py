"""Importance: how much the loss feels each attention head and each feed-forward neuron."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tuner.compress.anatomy import Anatomy, anatomy
from tuner.compress.batches import Batch, Split
from tuner.runtime.shaped import load_shaped

_BATCH = 16


def importance(teacher: str, data_dir: str, samples: int, seed: int, out: str) -> dict[str, Any]:
    """Write `importance.npz`: float64 `heads` (layers, heads) and `ffn` (layers, neurons), larger is dearer.

    The diagonal of the empirical Fisher information of masks that are one everywhere: the square of the loss'
    gradient with respect to each mask, per document, summed (Kwon et al. 2022, arXiv 2204.09656, section
    4.1). Refused axes get arrays without columns. Returns {"samples", "layers"}.
    """
    model, split = load_shaped(Path(teacher)), Split(Path(data_dir), "train")
    structure = anatomy(model.config)
    masks = _Masks(model.requires_grad_(False), structure)
    # A family without a table has no masks: nothing to gather, and nothing that could be pruned by it.
    rows = split.sample(samples if masks.units else 0, seed)
    for start in range(0, len(rows), _BATCH):
        masks.add(model, split.take(rows[start : start + _BATCH]))
    np.savez(Path(out) / "importance.npz", **masks.scores())
    return {"samples": len(rows), "layers": len(masks.units)}


class _Masks:
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

    def add(self, model: nn.Module, batch: Batch) -> None:
        inputs, labels, _ = batch
        self._masks = [torch.ones(len(labels), 1, width, requires_grad=True) for width in self._widths]
        loss = cross_entropy(model(**inputs).logits, labels, reduction="sum")
        for site, gradient in zip(self._sites, torch.autograd.grad(loss, self._masks), strict=True):
            axis, layer, count = site
            # A head's mask scales all its dimensions at once: its gradient is the sum of theirs.
            per_unit = gradient.double().view(len(labels), count, -1).sum(-1)
            self.sums[axis][layer] += per_unit.square().sum(0)

    def scores(self) -> dict[str, Any]:
        empty = np.zeros((len(self.units), 0))
        return {k: np.stack([s.numpy() for s in sums]) if sums else empty for k, sums in self.sums.items()}
