"""Tensor parallel: every rank has some rows or columns of each layer, and they add up what they found.

Shoeybi et al. 2019 (Megatron-LM, section 3): the products that make heads and neurons are split by columns, those that
take them by rows, so a layer needs two sums over the ranks. Needs torch, transformers and safetensors.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_module
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    parallelize_module,
)

from .shaped import fill, own_weights, skeleton
from .split import ENCODER_PLANS, family_refusal, tensor_refusal
from .torch_formats import dtype_of, round_products


class Columns(ColwiseParallel):
    """Divides a linear layer by what it makes; each rank goes on with its own.

    torch's own styles make every product one of DTensors, which costs more than the product itself: 0.2 ms each, and
    10 ms in inference mode. Ours divide alike, and then compute on plain tensors.
    """

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return distribute_module(module, device_mesh, self._partition_linear_fn)


class Gathered(Columns):
    """The same for a language model's head: every rank gets the logits of all."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        module.register_forward_hook(lambda module, given, made: _gathered(made))
        return super()._apply(module, device_mesh)


class Rows(RowwiseParallel):
    """Divides a linear layer by what it takes; what the ranks make is added up."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        module.register_forward_hook(lambda module, given, made: _summed(made))
        return distribute_module(module, device_mesh, self._partition_linear_fn)


#: transformers' names of the ways to divide a module.
_STYLES: Mapping[str, Callable[[], ParallelStyle]] = {
    "colwise": Columns,
    "rowwise": Rows,
    "colwise_gather_output": Gathered,
}
_WHOLE = ("replicated_with_grad_allreduce",)  # norms of single heads, the same for all of them


def sharded(folder: Path, described: Mapping[str, Any], device: torch.device, degree: int) -> nn.Module:
    """Return this rank's part of a model: called by all ranks at once, each gets the whole answer.

    Only the part is read and held. `described` says the format: `bits` and `scheme`.

    Raises:
        ValueError: the model cannot be divided so; the message says why.
    """
    model, dtype = skeleton(folder), dtype_of(described["bits"], described["scheme"])
    styles = plan(model, degree)
    for parameter in model.parameters():
        parameter.data = torch.empty(parameter.shape, dtype=dtype)
    round_products(described["scheme"])
    tied = model.config.tie_word_embeddings and "lm_head" in styles
    parallelize_module(model, init_device_mesh("cpu", (degree,)), styles, src_data_rank=None)
    fill(own_weights(model), folder, _piece)
    for name in styles:
        _plain(model.get_submodule(name))
    if tied:  # the head's part is a view of the embedding, which is whole
        model.lm_head.weight = nn.Parameter(
            model.get_input_embeddings().weight.chunk(degree)[dist.get_rank()]
        )
    return model.to(device)


def _plain(module: nn.Module) -> None:
    """Hold a divided layer's own part as plain tensors; what is added up has one rank's bias."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        whole = not isinstance(parameter.placements[0], Shard)
        kept = None if whole and dist.get_rank() else nn.Parameter(parameter.to_local())
        module.register_parameter(name, kept)


def _summed(made: torch.Tensor) -> torch.Tensor:
    dist.all_reduce(made)
    return made


def _gathered(made: torch.Tensor) -> torch.Tensor:
    made = made.contiguous()
    parts = [torch.empty_like(made) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, made)
    return torch.cat(parts, dim=-1)


def plan(model: nn.Module, degree: int) -> dict[str, ParallelStyle]:
    """Return how each module that is divided is: by the model's own plan, or for an encoder by ours.

    What does not come out even stays whole: attention with its heads, feed-forward layers, the vocabulary.

    Raises:
        ValueError: neither can be divided, or a plan has a way that is not known here.
    """
    wanted = dict(_named_styles(model))
    heads, neurons = _sizes(model, wanted)
    if refusal := tensor_refusal(degree, heads, neurons):
        raise ValueError(refusal)
    even = {"attention": heads % degree == 0, "ffn": neurons % degree == 0}
    even["vocabulary"] = model.get_input_embeddings().weight.shape[0] % degree == 0
    kept = {name: style for name, style in wanted.items() if even[_part(name)]}
    return {name: _STYLES[style]() for name, style in kept.items()}


def _named_styles(model: nn.Module) -> list[tuple[str, str]]:
    """Return the modules' names below the model with their styles."""
    family, causal = model.config.model_type, hasattr(model, "lm_head")
    if refusal := family_refusal(family, causal):
        raise ValueError(refusal)
    own = model.config.base_model_tp_plan if causal else ENCODER_PLANS[family]
    patterns = {f"{model.base_model_prefix}.{path}": style for path, style in own.items()}
    if causal:
        patterns |= type(model)._tp_plan
    names = [name for name, _ in model.named_modules()]
    found = [(n, style) for p, style in patterns.items() for n in fnmatch.filter(names, p)]
    if unknown := {style for _, style in found} - {*_STYLES, *_WHOLE}:
        raise ValueError(
            f"the plan of a {family} model divides in a way not known here: {', '.join(unknown)}"
        )
    return [(name, style) for name, style in found if style not in _WHOLE]


def _part(name: str) -> str:
    if name == "lm_head":
        return "vocabulary"
    return "attention" if {"attention", "self_attn"} & set(name.split(".")) else "ffn"


def _sizes(model: nn.Module, styles: Mapping[str, str]) -> tuple[int, int]:
    """Return the (key-value) heads and FFN neurons of a layer: those of the first, for all are pruned alike."""
    key = next(name for name in styles if name.endswith((".k_proj", ".key", ".k_lin")))
    attention = model.get_submodule(key.rpartition(".")[0])
    width = getattr(attention, "head_dim", None) or attention.attention_head_size
    first = next(n for n, style in styles.items() if _part(n) == "ffn" and style == "colwise")
    rows = [model.get_submodule(name).weight.shape[0] for name in (key, first)]
    return int(rows[0]) // int(width), int(rows[1])


def _piece(own: torch.Tensor) -> tuple[torch.Tensor, tuple[slice, ...]]:
    """Return this rank's part of a weight, and which part of the stored one that is."""
    if not isinstance(own, DTensor):
        return own, ()
    local, (placement,) = own.to_local(), own.placements
    if not isinstance(placement, Shard):
        return local, ()
    size, before = local.shape[placement.dim], [slice(None)] * placement.dim
    return local, (*before, slice(dist.get_rank() * size, (dist.get_rank() + 1) * size))
