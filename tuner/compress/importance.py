"""Importance: how much the loss feels each attention head and each feed-forward neuron."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tuner.compress.anatomy import anatomy
from tuner.compress.batches import Split
from tuner.compress.masks import Masks
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
    masks = Masks(model.requires_grad_(False), structure)
    # A family without a table has no masks: nothing to gather, and nothing that could be pruned by it.
    rows = split.sample(samples if masks.units else 0, seed)
    for start in range(0, len(rows), _BATCH):
        inputs, labels, _ = split.take(rows[start : start + _BATCH])
        masks.add(len(labels), partial(_loss, model, inputs, labels))
    np.savez(Path(out) / "importance.npz", **masks.scores())
    return {"samples": len(rows), "layers": len(masks.units)}


def _loss(model: nn.Module, inputs: dict[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    return cross_entropy(model(**inputs).logits, labels, reduction="sum")
