"""Load a shaped checkpoint: a transformers model whose matrices are smaller than its configuration says.

`shape.json` holds what the configuration cannot: {"attributes": {"path.to.module.num_attention_heads": 6}}.
The sizes of the matrices are read off the stored weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.initialization import no_init_weights

#: Of a model's own weight: the tensor to fill, and what of the stored weight it takes; None: it is not wanted.
Piece = Callable[[torch.Tensor], tuple[torch.Tensor, tuple[slice, ...]] | None]
FILE = "model.safetensors"


def load_shaped(directory: Path) -> nn.Module:
    """Return the model in fp32 evaluation mode. Reads safetensors and JSON, runs no code of theirs.

    Raises:
        RuntimeError: the stored weights do not fill the model.
    """
    model = skeleton(directory)
    fill(own_weights(model), directory)
    return model.float().eval()


def skeleton(directory: Path) -> nn.Module:
    """Return the model in fp32, in evaluation mode, with every weight of its stored shape but not read yet.

    Memory of weights is asked for and not touched: whoever fills a part of them has only that part.
    """
    config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
    with no_init_weights():
        model = auto_class(config).from_config(config, trust_remote_code=False, dtype=torch.float32)
    resize(model, _shapes(directory))
    set_attributes(model, json.loads((directory / "shape.json").read_text())["attributes"])
    model.tie_weights()
    return model.eval()


def own_weights(model: nn.Module) -> dict[str, torch.Tensor | None]:
    """Return all that a checkpoint may hold of a model, by name; None where it is tied to another."""
    found: dict[str, torch.Tensor | None] = dict(model.state_dict(keep_vars=True))
    return found | dict.fromkeys(getattr(model, "all_tied_weights_keys", None) or {})


def whole(own: torch.Tensor) -> tuple[torch.Tensor, tuple[slice, ...]]:
    """Take all of every weight."""
    return own, ()


def fill(own: Mapping[str, torch.Tensor | None], directory: Path, piece: Piece = whole) -> None:
    """Read the stored weights into a model's `own`, one after another, or the piece that is wanted of each.

    Raises:
        RuntimeError: they do not fill the model.
    """
    stored = _shapes(directory)
    missing = sorted(name for name in own.keys() - stored if own[name] is not None)
    unexpected = sorted(stored.keys() - own.keys())
    if missing or unexpected:
        raise RuntimeError(
            f"{directory}: weights do not fit: missing {missing[:3]}, unexpected {unexpected[:3]}"
        )
    for name in stored:
        if (tensor := own[name]) is not None and (wanted := piece(tensor)) is not None:
            target, index = wanted
            with (
                torch.no_grad(),
                safe_open(directory / FILE, "pt") as opened,
            ):  # what stays mapped counts as memory
                target.copy_(opened.get_slice(name)[index or ...])


def _shapes(directory: Path) -> dict[str, tuple[int, ...]]:
    with safe_open(directory / FILE, "pt") as stored:
        return {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118


def auto_class(config: Any) -> Any:
    """Return the class of models that a configuration stands for: one with a language model's head, or a classifier."""
    causal = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in config.architectures or ())
    return AutoModelForCausalLM if causal else AutoModelForSequenceClassification


def resize(model: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Give each parameter the shape of its stored weight."""
    for name, shape in shapes.items():
        parent, _, leaf = name.rpartition(".")
        module = model.get_submodule(parent)
        if tuple(getattr(module, leaf).shape) != shape:
            setattr(module, leaf, nn.Parameter(torch.empty(shape)))
            if isinstance(module, nn.Linear) and leaf == "weight":
                module.out_features, module.in_features = shape


def set_attributes(model: nn.Module, attributes: dict[str, Any]) -> None:
    """Set plain attributes of submodules (head counts, mostly) by their dotted path."""
    for name, value in attributes.items():
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, value)
