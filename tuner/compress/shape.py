"""Shape: cut a teacher down to a student with fewer layers, heads and neurons."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from tuner.compress.anatomy import Anatomy, anatomy, head_attributes
from tuner.compress.checkpoint import save_checkpoint
from tuner.compress.cutting import best, cut
from tuner.compress.widths import kept_heads, kept_neurons
from tuner.errors import UnsupportedError
from tuner.runtime.shaped import load_shaped


def shape(
    teacher: str, importance: str, student_layers: int, heads_ratio: float, ffn_ratio: float, out: str
) -> dict[str, Any]:
    """Write a student of some evenly spread layers, each with its most important heads and neurons.

    Structured pruning: matrices get smaller, nothing is masked. Of n heads round((1 - heads_ratio)·n) stay,
    at least one; of the neurons (1 - ffn_ratio)·n rounded to a multiple of 32 (8 in models of under 256), at
    least one such multiple. A ratio of 0 keeps all. Returns {"layers": numbers of the kept ones, "heads",
    "ffn", "parameters"}.

    Raises:
        UnsupportedError: the model's family refuses an axis that is asked for.
    """
    model = load_shaped(Path(teacher))
    structure = anatomy(model.config)
    check_asked(structure, student_layers, heads_ratio, ffn_ratio)
    kept = kept_layers(structure.layers, student_layers)
    heads, ffn = kept_heads(structure.heads, heads_ratio), kept_neurons(structure.ffn, ffn_ratio)
    with np.load(Path(importance) / "importance.npz") as stored:
        scores = {name: stored[name] for name in stored.files}
    attributes = _prune(model, structure, scores, heads, ffn, kept)
    save_checkpoint(model, Path(teacher), Path(out), attributes)
    total = sum(parameter.numel() for parameter in model.parameters())
    return {"layers": kept, "heads": heads, "ffn": ffn, "parameters": total}


def kept_layers(layers: int, keep: int) -> list[int]:
    """Return the numbers of the `keep` layers that stay: first and last, and evenly spread ones between.

    Close to DistilBERT's every second layer (Sanh et al. 2019, arXiv 1910.01108, section 3). A single layer
    is the last: its attention gathers into the token that the head reads, and distillation on a few hundred
    documents brings it back to the teacher; the first layer stays points behind.
    """
    return [layers - 1] if keep == 1 else [round(i * (layers - 1) / (keep - 1)) for i in range(keep)]


def check_asked(structure: Anatomy, student_layers: int, heads_ratio: float, ffn_ratio: float) -> None:
    """Raise UnsupportedError where a model has not what is asked for, or its family refuses the axis."""
    if not 1 <= student_layers <= structure.layers:
        raise UnsupportedError(f"{student_layers} layers asked of a model that has {structure.layers}")
    asked = {
        "student_layers": student_layers != structure.layers,
        "heads": heads_ratio > 0,
        "ffn": ffn_ratio > 0,
    }
    for axis, reason in structure.refused.items():
        if asked[axis]:
            raise UnsupportedError(f"{axis}: {reason}")


def _prune(
    model: nn.Module,
    structure: Anatomy,
    scores: Mapping[str, np.ndarray],
    heads: int,
    ffn: int,
    layers: list[int],
) -> dict[str, int]:
    """Cut the model in place; return the attributes that its configuration cannot express."""
    attributes: dict[str, int] = {}
    parts = structure.parts
    if parts is None:
        return {}
    for number, (_, block) in enumerate(structure.units(model)):
        if heads < structure.heads:
            keep = best(scores["heads"][number], heads)
            cut(block, parts.heads_in, parts.heads_out, structure.heads, keep)
        if ffn < structure.ffn:
            cut(block, parts.ffn_in, parts.ffn_out, structure.ffn, best(scores["ffn"][number], ffn))
    _keep_layers(model, structure, layers)
    if heads < structure.heads:
        for path, block in structure.units(model):
            width = block.get_submodule(parts.heads_out).in_features // heads
            found = head_attributes(block, parts, heads, width)
            attributes |= {f"{path}.{name}": value for name, value in found.items()}
    return attributes


def _keep_layers(model: nn.Module, structure: Anatomy, kept: list[int]) -> None:
    assert structure.parts is not None
    config = model.config
    config.num_hidden_layers = len(kept)
    if structure.family == "albert":  # all layers are one: only how often it runs changes
        return
    parent, _, name = f"{model.base_model_prefix}.{structure.parts.layers}".rpartition(".")
    holder = model.get_submodule(parent)
    setattr(holder, name, nn.ModuleList(getattr(holder, name)[i] for i in kept))
    if structure.family == "modernbert":
        _keep_modernbert(model, kept)


def _keep_modernbert(model: nn.Module, kept: list[int]) -> None:
    """Give each kept layer its own kind of attention, and drop the norm that the first place lacks."""
    model.config.layer_types = [model.config.layer_types[i] for i in kept]
    model.base_model.layers[0].attn_norm = nn.Identity()  # the embeddings are normalised already
