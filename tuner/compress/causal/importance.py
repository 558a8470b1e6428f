"""Importance: how much the loss on real text feels each layer, key-value group and neuron of a language model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tuner.compress.anatomy import Anatomy, anatomy
from tuner.compress.batches import Split
from tuner.compress.causal.compensate import LIMIT, MomentsSum
from tuner.compress.causal.depth import layer_scores
from tuner.compress.causal.text_loss import summed_loss
from tuner.compress.masks import Masks
from tuner.compress.training import mixed_precision
from tuner.runtime.shaped import load_shaped

_TOKENS = 1024  # of a batch; the logits of a wide vocabulary take most of the memory
_DEPTH = (
    4,
    128,
)  # windows, and tokens of each, that a layer is left out on: a hundred passes, or so, over these
WINDOWS = 64  # at most: a pass over a window of text costs what hundreds of a classifier's documents do


def importance(teacher: str, data_dir: str, samples: int, seed: int, out: str) -> dict[str, Any]:
    """Write `importance.npz`: float64 `heads` (layers, groups), `ffn` (layers, neurons) and `layers` (layers,).

    Larger is dearer. Groups and neurons by the diagonal of the empirical Fisher information of masks that are one
    everywhere, per window of text (Kwon et al. 2022, arXiv 2204.09656, section 4.1), on `samples` windows of the
    train split, at most 64; layers by `depth.layer_scores` on the beginnings of four of these. From the same
    passes come the second moments by which `shape` compensates (`compensate.py`), unless they would take more
    than 2 GB. Returns {"samples", "layers", "moments": stored or not}.
    """
    model = load_shaped(Path(teacher)).requires_grad_(False)
    split, structure = Split(Path(data_dir), "train"), anatomy(model.config)
    rows = split.sample(min(samples, WINDOWS), seed).flip(0)  # the longest first: depth takes whole windows
    size = max(1, _TOKENS // split.inputs["input_ids"].shape[1])
    units = structure.units(model)
    depth = _depth(model, units, split.take(rows[: _DEPTH[0]])[0])
    moments = _watch(structure, units)
    masks = Masks(model, structure)
    for some in rows.split(size):
        inputs, _, _ = split.take(some)
        masks.add(len(some), partial(_loss, model, inputs))
    np.savez(Path(out) / "importance.npz", **masks.scores(), layers=np.array(depth))
    if moments is not None:
        moments.save(Path(out))
    return {"samples": len(rows), "layers": len(units), "moments": moments is not None}


def _loss(model: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with mixed_precision():
        return summed_loss(model, inputs)


def _depth(
    model: nn.Module, units: list[tuple[str, nn.Module]], inputs: dict[str, torch.Tensor]
) -> list[float]:
    cut = {name: array[:, : _DEPTH[1]] for name, array in inputs.items()}
    return layer_scores(model, nn.ModuleList(block for _, block in units), cut)


def _watch(structure: Anatomy, units: list[tuple[str, nn.Module]]) -> MomentsSum | None:
    """Return what gathers the moments of each consumer's inputs, None where they would take too much."""
    parts = structure.parts
    assert parts is not None
    consumers = [
        (axis, layer, block.get_submodule(path))
        for layer, (_, block) in enumerate(units)
        for axis, path in (("heads", parts.heads_out), ("ffn", parts.ffn_out))
    ]
    if MomentsSum.size([consumer.in_features for _, _, consumer in consumers]) > LIMIT:
        return None
    found = MomentsSum()
    for axis, layer, consumer in consumers:
        found.watch(axis, layer, consumer)
    return found
