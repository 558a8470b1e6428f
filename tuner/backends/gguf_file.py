"""A causal checkpoint as an fp32 GGUF file, which llama.cpp then quantizes. Without vocabulary: tokens go in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tuner.errors import UnsupportedError

#: transformers' model types and llama.cpp's names for them.
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
_PAIRED = ("self_attn.q_proj", "self_attn.k_proj")


def write_gguf(checkpoint: Path, file: Path) -> None:
    """Write the checkpoint's weights and sizes.

    Raises:
        UnsupportedError: a family that is not in the table.
    """
    import gguf

    config = json.loads((checkpoint / "config.json").read_text())
    if config["model_type"] not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UnsupportedError(f"no table for {config['model_type']} models in llama.cpp; known: {known}")
    name = ARCHITECTURES[config["model_type"]]
    writer = gguf.GGUFWriter(str(file), name)
    _sizes(writer, config)
    arch = next(number for number, known in gguf.MODEL_ARCH_NAMES.items() if known == name)
    names = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
    for own, array in _tensors(checkpoint, config, rotates_pairs=name == "llama"):
        theirs = names.get_name(own, try_suffixes=(".weight", ".bias"))
        if theirs is None:
            raise UnsupportedError(f"llama.cpp has no place for the tensor {own}")
        writer.add_tensor(theirs, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _sizes(writer: Any, config: dict[str, Any]) -> None:
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    rotary = config.get("rope_parameters") or config
    writer.add_file_type(0)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(float(rotary.get("rope_theta") or 10000.0))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


def _tensors(
    checkpoint: Path, config: dict[str, Any], rotates_pairs: bool
) -> Iterator[tuple[str, np.ndarray]]:
    from safetensors import safe_open

    heads = config["num_attention_heads"]
    of = {"q": heads, "k": config.get("num_key_value_heads") or heads}
    with safe_open(checkpoint / "model.safetensors", framework="numpy") as stored:
        for name in stored.keys():  # noqa: SIM118 - not a mapping
            array = stored.get_tensor(name).astype(np.float32)
            if rotates_pairs and any(part in name for part in _PAIRED):
                array = _in_pairs(array, of["q" if "q_proj" in name else "k"])
            yield name, array


def _in_pairs(array: np.ndarray, heads: int) -> np.ndarray:
    """Return the rows of a projection with the two halves of each head interleaved.

    transformers rotates a head's first half against its second, llama.cpp's `llama` neighbours.
    """
    rows = array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(array.shape))
