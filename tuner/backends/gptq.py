"""GPTQ onto blocks of 32 weights with one scale: 4-bit weights that make up for each other's rounding on real text.

Frantar et al. 2022, "GPTQ" (arXiv 2210.17323): columns are rounded one after another, and what one loses the columns
after it take over, weighed by the inverse of the inputs' second moments. Layer by layer, each sees what the quantized
ones before it hand on. A block has the one of some scales tried with the least error, weighed by how much inputs count.
Then all scales are tuned together, through the whole model (`scale_tuning.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tuner.backends.scale_tuning import tuned
from tuner.backends.sensitivity import loss_rises
from tuner.backends.shared import made_once
from tuner.runtime.shaped import load_shaped

BLOCK = 32
_LOWEST, _HIGHEST = -8, 7
_TRIED = torch.linspace(0.7, 1.15, 16)  # times the scale that just holds a block's largest weight
_DAMP = 0.01  # of the mean second moment, added to all (section 3.3 of the paper)
#: Of calibration text, to find levels; with twice as many the perplexity stays what it is, and the time doubles.
_WINDOWS = 16
_BATCH = 4
HEAD = "lm_head.weight"
#: What reads the same inputs, in the order of a layer.
_SITES = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)


@dataclass(frozen=True)
class Rounded:
    """Matrices in blocks: int8 levels (rows, columns) and fp16 scales (rows, columns / 32) by name.

    The head is among them, under the name `lm_head.weight`, also where it is the same as the embedding. `harm` is by
    how much each of the layers' own raises the loss of the calibration text, in nats a token, before the scales are
    tuned. `norms` are the weights fp32 (width,) that go with the tuned scales.
    """

    levels: dict[str, np.ndarray]
    scales: dict[str, np.ndarray]
    harm: dict[str, float]
    norms: dict[str, np.ndarray]

    def spared(self, share: float) -> set[str]:
        """Return matrices of the layers with at most this share of their weights, most harm for each weight first."""
        sizes = {name: q.size for name, q in self.levels.items() if name != HEAD}
        total, kept, taken = sum(sizes.values()), set[str](), 0
        for name in sorted(sizes, key=lambda one: self.harm[one] / sizes[one], reverse=True):
            if taken + sizes[name] <= share * total:
                kept.add(name)
                taken += sizes[name]
        return kept


def rounded(checkpoint: Path, calibration: Path, cache: Path) -> Rounded:
    """Return a causal checkpoint's matrices in blocks; made once for all builds of the checkpoint with these windows.

    `calibration` is an .npz of int64 `input_ids` (windows, tokens) without padding but in the last.
    """
    with np.load(calibration) as arrays:
        windows = arrays["input_ids"]
    text = hashlib.sha256(windows.tobytes()).hexdigest()[:16]  # another study's text rounds otherwise
    final = made_once(
        cache / f"gptq-{text}", lambda folder: _make(checkpoint, torch.from_numpy(windows), folder)
    )
    stored = load_file(final / "blocks.safetensors")
    levels, scales, norms = (_ending(stored, end) for end in (".levels", ".scales", ".norm"))
    return Rounded(levels, scales, json.loads((final / "harm.json").read_text()), norms)


def _ending(stored: dict[str, torch.Tensor], end: str) -> dict[str, np.ndarray]:
    return {name.removesuffix(end): t.numpy() for name, t in stored.items() if name.endswith(end)}


def _make(checkpoint: Path, windows: torch.Tensor, out: Path) -> None:
    levels, scales = dict[str, torch.Tensor](), dict[str, torch.Tensor]()
    with torch.no_grad():
        model = load_shaped(checkpoint).requires_grad_(False)
        for name, *found in _layers(model, windows[:_WINDOWS]):
            levels[name], scales[name] = found
    layers = {name: q for name, q in levels.items() if name != HEAD}
    whole = load_shaped(checkpoint)
    harm = _harm(whole, layers, scales, windows[:_WINDOWS])
    better, norms = tuned(whole, layers, scales, windows)
    scales |= {name: one.half() for name, one in better.items()}
    parts = {".levels": levels, ".scales": scales, ".norm": norms}
    save_file(
        {n + end: t for end, part in parts.items() for n, t in part.items()}, out / "blocks.safetensors"
    )
    (out / "harm.json").write_text(json.dumps(harm))


def _harm(
    model: nn.Module, levels: dict[str, torch.Tensor], scales: dict[str, torch.Tensor], windows: torch.Tensor
) -> dict[str, float]:
    def off(name: str) -> torch.Tensor:
        return restored(levels[name], scales[name]) - model.get_submodule(_module(name)).weight

    rises = loss_rises(model, {_module(name): partial(off, name) for name in levels}, windows)
    return {name: rises[_module(name)] for name in levels}


def _module(name: str) -> str:
    return name.removesuffix(".weight")


def _layers(model: nn.Module, windows: torch.Tensor) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Yield each matrix's name, levels and scales, and leave it rounded in the model."""
    states, context = _first_inputs(model, windows)
    for number, layer in enumerate(model.base_model.layers):
        for site in _SITES:
            readers = [layer.get_submodule(name) for name in site]
            moments = _moments(layer, readers[0], states, context)
            for name, reader in zip(site, readers, strict=True):
                levels, scales = quantized(reader.weight.data, moments)
                reader.weight.data.copy_(restored(levels, scales))
                yield f"model.layers.{number}.{name}.weight", levels, scales
        states = [_handed_on(layer(one, **context)) for one in states]
    yield HEAD, *_head(model, states)


def _head(model: nn.Module, states: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return levels and scales of what makes logits of the last layer's outputs; it stays as it was in the model."""
    rows = model.base_model.norm(torch.cat(list(states))).flatten(0, -2)
    return quantized(model.get_output_embeddings().weight.data, rows.T @ rows)


class _EnoughError(Exception):
    """The first layer's inputs are known."""


def _first_inputs(model: nn.Module, windows: torch.Tensor) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """Return what the first layer is given for each batch of windows, and the arguments that all layers share."""
    states, context = list[torch.Tensor](), dict[str, Any]()

    def catch(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        states.append(given[0])
        context.update({name: value for name, value in named.items() if "past" not in name})
        raise _EnoughError

    hook = model.base_model.layers[0].register_forward_pre_hook(catch, with_kwargs=True)
    whole = windows[: len(windows) // _BATCH * _BATCH or len(windows)]  # all batches share the arguments
    for batch in whole.split(_BATCH):
        try:
            model.base_model(input_ids=batch, use_cache=False)
        except _EnoughError:
            continue
    hook.remove()
    return states, context


def _handed_on(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output


def _moments(
    layer: nn.Module, reader: nn.Module, states: Sequence[torch.Tensor], context: dict[str, Any]
) -> torch.Tensor:
    """Return the second moments (columns, columns) of what a matrix of the layer reads."""
    found = torch.zeros(reader.in_features, reader.in_features)

    def add(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        rows = given[0].flatten(0, -2)
        found.add_(rows.T @ rows)

    hook = reader.register_forward_pre_hook(add)
    for one in states:
        layer(one, **context)
    hook.remove()
    return found


def quantized(weight: torch.Tensor, moments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return int8 levels (rows, columns) and fp16 scales (rows, columns / 32) of a matrix.

    Raises:
        ValueError: blocks of 32 do not divide its columns.
    """
    rows, columns = weight.shape
    if columns % BLOCK:
        raise ValueError(f"rows of {columns} weights do not divide into blocks of {BLOCK}")
    counts, inverse = _inverse(moments)
    left = weight.clone()
    levels = torch.zeros(rows, columns, dtype=torch.int8)
    scales = torch.zeros(rows, columns // BLOCK, dtype=torch.float16)
    for start in range(0, columns, BLOCK):
        here = slice(start, start + BLOCK)
        scales[:, start // BLOCK] = scale = best_scales(left[:, here], counts[here])
        block, missed = left[:, here].clone(), torch.zeros(rows, BLOCK)
        for i in range(BLOCK):
            level = _level(block[:, i], scale.float())
            levels[:, start + i] = level.to(torch.int8)
            missed[:, i] = (block[:, i] - level * scale.float()) / inverse[start + i, start + i]
            block[:, i:] -= missed[:, i : i + 1] * inverse[start + i, start + i : start + BLOCK]
        left[:, start + BLOCK :] -= missed @ inverse[here, start + BLOCK :]
    return levels, scales


def _inverse(moments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how much each input counts, and the upper Cholesky factor of the inverse of the damped moments."""
    damped = moments.clone()
    damped.diagonal().add_(_DAMP * damped.diagonal().mean() + 1e-12)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return damped.diagonal().clone(), torch.linalg.cholesky(inverse, upper=True)


def best_scales(block: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return fp16 scales (rows,) of a block (rows, 32): of some tried the ones with the least weighed error.

    There is one level more below zero than above, so a negative scale may hold a block better.
    """
    largest = block.gather(1, block.abs().argmax(1, keepdim=True))[:, 0]
    least = torch.full_like(largest, torch.inf)
    best = torch.ones_like(largest, dtype=torch.float16)
    for factor in torch.cat([_TRIED, -_TRIED]):
        scale = (largest * factor / _LOWEST).half()
        scale = torch.where(scale == 0, torch.tensor(1.0, dtype=torch.float16), scale)
        off = _level(block, scale.float()[:, None]) * scale.float()[:, None] - block
        error = (off**2 * counts).sum(1)
        best, least = torch.where(error < least, scale, best), torch.minimum(error, least)
    return best


def _level(weights: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return (weights / scale).round().clamp(_LOWEST, _HIGHEST)


def restored(levels: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Return the fp32 matrix (rows, columns) that levels and scales stand for."""
    return levels.float() * scales.float().repeat_interleave(BLOCK, dim=1)
