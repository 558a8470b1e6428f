"""Load a shaped checkpoint: a transformers model whose matrices are smaller than its configuration says.

`shape.json` holds what the configuration cannot: {"attributes": {"path.to.module.num_attention_heads": 6}}, and
{"semi_structured": true} where the weights are 2:4 sparse.
The sizes of the matrices are read off the stored weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification


def load_shaped(directory: Path) -> nn.Module:
    """Return the model in fp32 evaluation mode. Reads safetensors and JSON, runs no code of theirs.

    Raises:
        RuntimeError: the stored weights do not fill the model.
    """
    directory = Path(directory)
    config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
    model = auto_class(config).from_config(config, trust_remote_code=False, dtype=torch.float32)
    state = load_file(directory / "model.safetensors")
    resize(model, state)
    set_attributes(model, json.loads((directory / "shape.json").read_text())["attributes"])
    missing, unexpected = model.load_state_dict(state, strict=False)
    tied = set(getattr(model, "all_tied_weights_keys", None) or {})
    if unexpected or set(missing) - tied:
        raise RuntimeError(
            f"{directory}: weights do not fit: missing {missing[:3]}, unexpected {unexpected[:3]}"
        )
    model.tie_weights()
    return model.float().eval()


def is_semi_structured(directory: Path) -> bool:
    """Say whether a checkpoint's weights are 2:4 sparse: two of each four in a row are zero."""
    return bool(json.loads((Path(directory) / "shape.json").read_text()).get("semi_structured"))


def auto_class(config: Any) -> Any:
    """Return the class of models that a configuration stands for: one with a language model's head, or a classifier."""
    causal = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in config.architectures or ())
    return AutoModelForCausalLM if causal else AutoModelForSequenceClassification


def resize(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Give each parameter the shape of its stored weight."""
    for name, tensor in state.items():
        parent, _, leaf = name.rpartition(".")
        module = model.get_submodule(parent)
        if getattr(module, leaf).shape != tensor.shape:
            setattr(module, leaf, nn.Parameter(torch.empty_like(tensor)))
            if isinstance(module, nn.Linear) and leaf == "weight":
                module.out_features, module.in_features = tensor.shape


def set_attributes(model: nn.Module, attributes: dict[str, Any]) -> None:
    """Set plain attributes of submodules (head counts, mostly) by their dotted path."""
    for name, value in attributes.items():
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, value)
