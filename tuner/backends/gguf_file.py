"""A causal checkpoint as an fp32 GGUF file, which llama.cpp then quantizes. Without vocabulary: tokens go in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tuner.errors import UnsupportedError

#: transformers' model types and llama.cpp's names for them.
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"
_PAIRED = ("self_attn.q_proj", "self_attn.k_proj")


#: Returns a tensor's bytes and its type in GGUF, by its name in the checkpoint; None to leave it in fp32.
Stored = Callable[[str, np.ndarray], "tuple[np.ndarray, Any] | None"]


def write_gguf(
    checkpoint: Path, file: Path, stored: Stored = lambda name, array: None, own_head: bool = False
) -> None:
    """Write the checkpoint's weights and sizes, in fp32 but for what `stored` has in another format.

    `own_head` writes the head apart where it is the same as the embedding: it can have another format then.

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
    for own, array in _tensors(checkpoint, config, own_head):
        theirs = names.get_name(own, try_suffixes=(".weight", ".bias"))
        if theirs is None:
            raise UnsupportedError(f"llama.cpp has no place for the tensor {own}")
        form = stored(own, array)
        if form is None:
            writer.add_tensor(theirs, array)
        else:
            writer.add_tensor(theirs, form[0], raw_dtype=form[1])
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


def _tensors(checkpoint: Path, config: dict[str, Any], own_head: bool) -> Iterator[tuple[str, np.ndarray]]:
    from safetensors import safe_open

    with safe_open(checkpoint / "model.safetensors", framework="numpy") as stored:
        for name in stored.keys():  # noqa: SIM118 - not a mapping
            array = in_their_order(name, stored.get_tensor(name).astype(np.float32), config)
            yield name, array
            if own_head and name == _EMBEDDING and config.get("tie_word_embeddings"):
                yield _HEAD, array


def in_their_order(name: str, array: np.ndarray, config: dict[str, Any]) -> np.ndarray:
    """Return a tensor's rows, or what goes with them, as llama.cpp has them."""
    if ARCHITECTURES[config["model_type"]] != "llama" or not any(part in name for part in _PAIRED):
        return array
    heads = config["num_attention_heads"]
    return _in_pairs(array, heads if "q_proj" in name else config.get("num_key_value_heads") or heads)


def _in_pairs(array: np.ndarray, heads: int) -> np.ndarray:
    """Return the rows of a projection with the two halves of each head interleaved.

    transformers rotates a head's first half against its second, llama.cpp's `llama` neighbours.
    """
    rows = array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(array.shape))
