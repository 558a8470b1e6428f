"""Shape: cut a language model down to fewer layers, key-value groups and neurons, the same in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tuner.compress.anatomy import Anatomy, anatomy, sizes
from tuner.compress.causal.compensate import Moments
from tuner.compress.checkpoint import save_checkpoint
from tuner.compress.cutting import best, cut
from tuner.compress.shape import check_asked
from tuner.compress.widths import kept_widths
from tuner.runtime.shaped import load_shaped


def shape(
    teacher: str, importance: str, student_layers: int, heads_ratio: float, ffn_ratio: float, out: str
) -> dict[str, Any]:
    """Write a student of the layers whose loss is felt most, each with its most important groups and neurons.

    Structured pruning: matrices get smaller, and all layers stay alike, so that config.json says every size and
    any engine reads the student as a plain model. A group is a key-value head with its query heads: of n groups
    about (1 - heads_ratio)·n stay (`widths.kept_groups`); of the neurons (1 - ffn_ratio)·n rounded to a multiple of 64
    (8 in models of under 512). A ratio of 0 keeps all. What takes them is then fitted to what is left
    (`compensate.py`), where the importance holds the moments for it.
    Returns {"layers": numbers of the kept ones, "heads", "ffn", "parameters", "compensated"}.

    Raises:
        UnsupportedError: the model's family refuses an axis that is asked for.
    """
    model = load_shaped(Path(teacher))
    structure = anatomy(model.config)
    check_asked(structure, student_layers, heads_ratio, ffn_ratio)
    with np.load(Path(importance) / "importance.npz") as stored:
        scores = {name: stored[name] for name in stored.files}
    kept = kept_layers(scores["layers"], student_layers) if student_layers < structure.layers else None
    layers = kept or list(range(structure.layers))
    heads, ffn = kept_widths(sizes(model.config), heads_ratio, ffn_ratio)
    moments = Moments(Path(importance))
    _narrow(model, structure, scores, heads, ffn, moments)
    _keep(model, structure, layers)
    _say_sizes(model.config, structure, layers, heads, ffn)
    save_checkpoint(model, Path(teacher), Path(out))
    total = sum(parameter.numel() for parameter in model.parameters())
    return {"layers": layers, "heads": heads, "ffn": ffn, "parameters": total, "compensated": moments.held}


def kept_layers(scores: np.ndarray, keep: int) -> list[int]:
    """Return the numbers of the `keep` layers of the highest scores, ascending."""
    return best(scores, keep).tolist()


@torch.no_grad()
def _narrow(
    model: nn.Module,
    structure: Anatomy,
    scores: Mapping[str, np.ndarray],
    heads: int,
    ffn: int,
    moments: Moments,
) -> None:
    """Cut groups and neurons in place, each layer by its own scores."""
    parts = structure.parts
    assert parts is not None
    axes = (
        ("heads", structure.heads, heads, parts.heads_in, parts.heads_out),
        ("ffn", structure.ffn, ffn, parts.ffn_in, parts.ffn_out),
    )
    for number, (_, block) in enumerate(structure.units(model)):
        for axis, count, keep, producers, consumer in axes:
            if keep < count:
                units = best(scores[axis][number], keep)
                fitted = moments.fit(axis, number, block.get_submodule(consumer), count, units)
                cut(block, producers, consumer, count, units)
                if fitted is not None:
                    block.get_submodule(consumer).weight.copy_(fitted)


def _keep(model: nn.Module, structure: Anatomy, layers: list[int]) -> None:
    assert structure.parts is not None
    base = model.get_submodule(model.base_model_prefix)
    all_layers = getattr(base, structure.parts.layers)
    setattr(base, structure.parts.layers, nn.ModuleList(all_layers[i] for i in layers))


def _say_sizes(config: Any, structure: Anatomy, layers: list[int], groups: int, ffn: int) -> None:
    """Write all sizes into the configuration; the width of a head as well, which else would follow from them."""
    query_heads = config.num_attention_heads
    config.head_dim = getattr(config, "head_dim", None) or config.hidden_size // query_heads
    config.num_attention_heads = query_heads // structure.heads * groups
    config.num_key_value_heads = groups
    config.intermediate_size = ffn
    config.num_hidden_layers = len(layers)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[i] for i in layers]
