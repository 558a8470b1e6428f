"""A causal checkpoint as a stateful OpenVINO IR: the KV cache is the model's own variable, not an input and output.

Variables are what the CPU plug-in fuses into its attention kernel (`ScaledDotProductAttentionWithKVCache`); the gather
by `beam_idx` in front of each is part of the pattern that it looks for. Inputs and names are those that OpenVINO GenAI
expects, which makes paged attention of the same pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import DynamicCache

from tuner.backends.shared import made_once
from tuner.runtime.shaped import load_shaped

INPUTS = ("input_ids", "attention_mask", "position_ids")


class Step(nn.Module):
    """The model as a function of tensors: tokens and caches in, logits and longer caches out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        *past: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """Return logits (1, n, vocabulary) after each of the tokens (1, n), and the caches."""
        cache = _filled(self.model.config, past)
        found = self.model.model(
            input_ids=input_ids,
            attention_mask=_causal(attention_mask, position_ids),
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        )
        logits = self.model.lm_head(found.last_hidden_state)
        return logits, *(part for layer in cache.layers for part in (layer.keys, layer.values))


def stateful_model(checkpoint: Path, cache: Path) -> Path:
    """Return the path of the fp32 IR in `cache`, made once for all builds of a checkpoint."""
    import openvino as ov

    def make(folder: Path) -> None:
        ov.save_model(_converted(load_shaped(checkpoint)), str(folder / "model.xml"), compress_to_fp16=False)

    return made_once(cache / "openvino-stateful", make) / "model.xml"


def _causal(attention_mask: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
    """Return what is added to the attention's scores (1, 1, tokens, all): nothing, or the least number.

    Tokens see those before them in the cache. Their positions say nothing of that: what was drafted and taken back
    still has a place in the cache, under the mask, and none among the positions.
    """
    held, read = attention_mask.shape[1], position_ids.shape[1]
    rows = torch.arange(read) + (held - read)
    seen = (torch.arange(held)[None, :] <= rows[:, None]) & (attention_mask == 1)
    return torch.where(seen, 0.0, torch.finfo(torch.float32).min)[None, None]


def _filled(config: Any, past: Sequence[torch.Tensor]) -> DynamicCache:
    """Return a cache that holds the tensors as they are; its own `update` would put an empty one of rank 1 before."""
    cache = DynamicCache(config=config)
    for layer, keys, values in zip(cache.layers, past[::2], past[1::2], strict=True):
        layer.keys, layer.values = keys, values
        layer.dtype, layer.device, layer.is_initialized = keys.dtype, keys.device, True
    return cache


def _converted(model: nn.Module) -> Any:
    import openvino as ov

    sizes = model.config
    layers, heads, width = sizes.num_hidden_layers, sizes.num_key_value_heads, sizes.head_dim
    past = [torch.zeros(1, heads, 3, width) for _ in range(2 * layers)]
    example = (torch.tensor([[5, 6]]), torch.ones(1, 5).long(), torch.tensor([[3, 4]]))
    with torch.no_grad():
        converted = ov.convert_model(Step(model).eval(), example_input=(*example, *past))
    parts = [f"{layer}.{part}" for layer in range(layers) for part in ("key", "value")]
    _named(converted.inputs, [*INPUTS, *(f"past_key_values.{part}" for part in parts)])
    _named(converted.outputs, ["logits", *(f"present.{part}" for part in parts)])
    shapes: dict[str, list[int]] = {name: [1, -1] for name in INPUTS}
    converted.reshape(shapes | {f"past_key_values.{part}": [1, heads, -1, width] for part in parts})
    return _stateful(converted, parts, (1, heads, 0, width))


def _named(ports: Any, names: Sequence[str]) -> None:
    for port, name in zip(ports, names, strict=True):
        port.get_tensor().set_names({name})


def _stateful(model: Any, parts: Sequence[str], empty: tuple[int, ...]) -> Any:
    """Make variables of the caches, empty at first."""
    import openvino as ov
    from openvino import opset13
    from openvino._offline_transformations import apply_make_stateful_transformation

    beam = opset13.parameter(name="beam_idx", dtype=ov.Type.i32, shape=ov.PartialShape([1]))
    _named(beam.outputs(), ["beam_idx"])
    model.add_parameters([beam])
    for part in parts:
        port = model.input(f"past_key_values.{part}")
        readers = port.get_target_inputs()
        ordered = opset13.gather(port, beam, opset13.constant(0))
        for reader in readers:
            reader.replace_source_output(ordered.output(0))
    model.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(
        model, {f"past_key_values.{part}": f"present.{part}" for part in parts}
    )
    for node in model.get_ops():
        if node.get_type_name() == "ReadValue":
            node.set_arguments([opset13.constant(np.zeros(empty, dtype=np.float32))])
    model.validate_nodes_and_infer_types()
    return model
