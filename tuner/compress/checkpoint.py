"""Checkpoint: write a model as the folder that `tuner.runtime.shaped.load_shaped` reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
CHAT_TEMPLATE, GENERATION = "chat_template.jinja", "generation_config.json"


def save_checkpoint(
    model: nn.Module,
    tokenizer: Path,
    out: Path,
    attributes: Mapping[str, int] = {},
    semi_structured: bool = False,
) -> None:
    """Write config.json, model.safetensors (fp32), shape.json and the tokenizer's files to `out`.

    Where the folder `tokenizer` has a chat template and defaults of generation, they go along.
    `attributes` are the paths and values that the configuration cannot express, such as a layer's head count;
    `semi_structured` says that its weights are 2:4 sparse.
    """
    model.config.architectures = [type(model).__name__]
    model.config.dtype = torch.float32
    model.config.save_pretrained(out)
    save_file(_state(model), out / "model.safetensors", metadata={"format": "pt"})
    sparse = {"semi_structured": True} if semi_structured else {}
    (out / "shape.json").write_text(json.dumps({"attributes": dict(attributes), **sparse}, indent=1))
    for name in (*TOKENIZER_FILES, CHAT_TEMPLATE, GENERATION):
        if tokenizer != out and (tokenizer / name).exists():
            shutil.copyfile(tokenizer / name, out / name)


def shape_attributes(checkpoint: Path) -> dict[str, int]:
    """Return the attributes stored with a checkpoint."""
    return json.loads((checkpoint / "shape.json").read_text())["attributes"]


def _state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights without tied copies, which the file format refuses and loading ties again."""
    tied = set(getattr(model, "all_tied_weights_keys", None) or {})
    return {k: v.detach().float().contiguous() for k, v in model.state_dict().items() if k not in tied}
