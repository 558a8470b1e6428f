"""Anatomy: where each model family keeps its layers, attention heads and feed-forward neurons.

A matrix that produces heads (or neurons) is cut by rows, the one that consumes them by columns. Families
differ in names and in how rows are laid out: `blocks` is how many equal blocks a matrix stacks, each of which
holds all the heads: 1 for a plain projection, 3 for ModernBERT's fused query-key-value, 2 for a gated unit's
value and gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from tuner.runtime.shaped import auto_class
from tuner.runtime.split import family_refusal

AXES = ("student_layers", "heads", "ffn")


@dataclass(frozen=True)
class Family:
    """Paths of one family's parts: `layers` below the base model, all others below one layer.

    Of `heads_in` and `ffn_in` (path of a module or parameter: its blocks) those that a model lacks are passed
    over.
    """

    layers: str
    attention: str
    heads_in: Mapping[str, int]
    heads_out: str
    ffn_in: Mapping[str, int]
    ffn_out: str


def _bert(attention: str, names: tuple[str, ...], **more: int) -> Family:
    rows = {f"{attention}.{name}": 1 for name in names} | {f"{attention}.{k}": n for k, n in more.items()}
    ffn = {"intermediate.dense": 1}
    return Family("encoder.layer", attention, rows, "attention.output.dense", ffn, "output.dense")


_BERT = _bert("attention.self", ("query", "key", "value"))
#: Attention as in transformers 5's sources: all infer the number of heads from the rows or from an attribute
#: that `head_attributes` resets. DeBERTa v1's `in_proj` holds query, key and value of one head side by side:
#: one block.
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "bert": _BERT,
        "roberta": _BERT,
        "electra": _BERT,
        "distilbert": Family(
            "transformer.layer",
            "attention",
            {"attention.q_lin": 1, "attention.k_lin": 1, "attention.v_lin": 1},
            "attention.out_lin",
            {"ffn.lin1": 1},
            "ffn.lin2",
        ),
        "albert": Family(
            "encoder.albert_layer_groups",
            "attention",
            {"attention.query": 1, "attention.key": 1, "attention.value": 1},
            "attention.dense",
            {"ffn": 1},
            "ffn_output",
        ),
        "modernbert": Family("layers", "attn", {"attn.Wqkv": 3}, "attn.Wo", {"mlp.Wi": 2}, "mlp.Wo"),
        "deberta": _bert("attention.self", ("in_proj", "q_bias", "v_bias", "pos_proj", "pos_q_proj")),
        "deberta-v2": _bert(
            "attention.self", ("query_proj", "key_proj", "value_proj", "pos_key_proj", "pos_query_proj")
        ),
    }
)

_LLAMA = Family(
    "layers",
    "self_attn",
    {"self_attn.q_proj": 1, "self_attn.k_proj": 1, "self_attn.v_proj": 1},
    "self_attn.o_proj",
    {"mlp.gate_proj": 1, "mlp.up_proj": 1},
    "mlp.down_proj",
)
#: Language models. Query heads that share a key-value head lie side by side, so a "head" is such a group: cutting
#: rows by groups cuts queries, keys and values alike. Families that fuse these three, or whose layers alternate by
#: their number (as engines' model builders hard-code it), are left out.
CAUSAL_FAMILIES: Mapping[str, Family] = MappingProxyType(
    dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), _LLAMA)
)


@dataclass(frozen=True)
class Anatomy:
    """One model's structure: its family and sizes, and the axes it refuses, each with the reason."""

    family: str
    parts: Family | None
    layers: int
    heads: int
    ffn: int
    hidden: int
    refused: dict[str, str]

    def units(self, model: nn.Module) -> list[tuple[str, nn.Module]]:
        """Return the blocks with weights of their own and their paths: the layers, or ALBERT's shared."""
        if self.parts is None:
            return []
        path = f"{model.base_model_prefix}.{self.parts.layers}"
        found = [(f"{path}.{i}", block) for i, block in enumerate(model.get_submodule(path))]
        if self.family != "albert":
            return found
        return [
            (f"{p}.albert_layers.{i}", b) for p, group in found for i, b in enumerate(group.albert_layers)
        ]


def anatomy(config: Any) -> Anatomy:
    """Return the structure that a transformers configuration stands for."""
    family, causal = config.model_type, is_causal(config)
    parts = (CAUSAL_FAMILIES if causal else FAMILIES).get(family)
    units = "num_key_value_heads" if causal else "num_attention_heads"
    sizes = ("num_hidden_layers", units, "intermediate_size", "hidden_size")
    layers, heads, ffn, hidden = (_size(config, name) for name in sizes)
    return Anatomy(family, parts, max(1, layers), heads, ffn, hidden, _refused(config, parts))


def is_causal(config: Any) -> bool:
    """Return whether a configuration stands for a language model."""
    return auto_class(config) is AutoModelForCausalLM


def _size(config: Any, name: str) -> int:
    # DistilBERT maps the common names of all sizes but this one.
    value = getattr(config, name, None) or (getattr(config, "hidden_dim", None) if name[0] == "i" else None)
    return value if isinstance(value, int) else 0


def _refused(config: Any, parts: Family | None) -> dict[str, str]:
    if parts is None:
        known = CAUSAL_FAMILIES if is_causal(config) else FAMILIES
        reason = f"no table of the parts of a {config.model_type} model; known: {', '.join(known)}"
        return dict.fromkeys(AXES, reason)
    refused = {}
    if config.model_type == "albert" and config.num_hidden_groups > 1:
        refused["student_layers"] = "ALBERT's layer groups are assigned by depth: fewer layers would mix them"
    if getattr(config, "talking_head", False):
        refused["heads"] = "talking heads mix all heads, so none can be removed alone"
    if is_causal(config) and _size(config, "num_key_value_heads") == 1:
        refused["heads"] = (
            "all query heads share one key-value head: there is only one group, and it must stay"
        )
    return refused


def part(block: nn.Module, path: str) -> nn.Module | nn.Parameter | None:
    """Return the module or parameter at a path below a block, None where this model has none."""
    found: Any = block
    for name in path.split("."):
        found = getattr(found, name, None)
        if found is None:
            return None
    return found


def head_attributes(block: nn.Module, parts: Family, heads: int, width: int) -> dict[str, int]:
    """Return path below the block → value, for what its attention reads the number of heads from."""
    attention = block.get_submodule(parts.attention)
    values = {"num_attention_heads": heads, "n_heads": heads, "all_head_size": heads * width}
    return {f"{parts.attention}.{name}": v for name, v in values.items() if hasattr(attention, name)}


def describe(checkpoint: str) -> dict[str, Any]:
    """Return {"layers", "heads", "ffn", "hidden", "family", "parameters", "refused": {axis: reason}, "undivided"}.

    `heads` and `ffn` are numbers per layer; the axes are student_layers, heads and ffn. `undivided` is why the model
    cannot be divided among processes, "" if it can. A language model's heads are its key-value groups, of so many
    "queries" each, and it has also "context" (most tokens) and "vocabulary" (rows of its embedding).
    Reads the configuration only: no weights are loaded.
    """
    config = AutoConfig.from_pretrained(Path(checkpoint), trust_remote_code=False)
    found = anatomy(config)
    with torch.device("meta"):
        model = auto_class(config).from_config(config, trust_remote_code=False)
    return {
        **sizes(config),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "refused": found.refused,
        "undivided": family_refusal(found.family, is_causal(config)),
    }


def sizes(config: Any) -> dict[str, Any]:
    """Return what of `describe` the configuration itself says."""
    found = anatomy(config)
    plain = {name: getattr(found, name) for name in ("layers", "heads", "ffn", "hidden", "family")}
    return {**plain, **(_text_sizes(config) if is_causal(config) else {})}


def _text_sizes(config: Any) -> dict[str, int]:
    queries = config.num_attention_heads // (getattr(config, "num_key_value_heads", None) or 1)
    return {"context": config.max_position_embeddings, "vocabulary": config.vocab_size, "queries": queries}
