"""Source: a transformers folder or a GGUF file as a language model's first checkpoint, in fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from tuner.compress.anatomy import CAUSAL_FAMILIES, is_causal
from tuner.compress.causal.chat import bring_tokenizer, convert_tokenizer, write_generation
from tuner.compress.checkpoint import CHAT_TEMPLATE, save_checkpoint
from tuner.compress.reading import check_weights, config_of, line_of, tokenizer_folder
from tuner.errors import InputError
from tuner.spec.sources import gguf_file


def import_language_model(source_dir: str, out: str) -> dict[str, Any]:
    """Write the checkpoint of a folder's language model, or of a GGUF file's, to `out`.

    `source_dir` is a folder with config.json and safetensors (in shards, too), a folder with one *.gguf, or such
    a file; a GGUF's weights are dequantized here, once. Runs no code of the model's folder and reads no pickles.
    Returns {"trained_head": True, "chat": has a template, "context": most tokens, "stop_token_ids"}.

    Raises:
        InputError: no weights, pickled or quantized ones, no decoder-only model, or one of an unknown family.
    """
    source, target = Path(source_dir), Path(out)
    packed = gguf_file(source)
    model = _packed(packed, target) if packed else _folder(source, target)
    stops = write_generation(target, model.generation_config)
    save_checkpoint(model.float(), target, target)
    chat, context = (target / CHAT_TEMPLATE).exists(), model.config.max_position_embeddings
    return {"trained_head": True, "chat": chat, "context": context, "stop_token_ids": stops}


def _folder(folder: Path, out: Path) -> nn.Module:
    config = config_of(folder)
    _check_kind(folder, config)
    if getattr(config, "quantization_config", None) is not None:
        raise InputError(f"{folder} is quantized already: name the model that it was made from")
    check_weights(folder)
    model = _loaded(folder, use_safetensors=True)
    tokenizer_folder(folder, out)  # converts an older vocabulary
    bring_tokenizer(folder, out)
    return model


def _packed(file: Path, out: Path) -> nn.Module:
    where = {"gguf_file": file.name, "local_files_only": True}
    try:
        config = AutoConfig.from_pretrained(file.parent, **where)
    except Exception as error:  # an unknown architecture, a broken file, a package that is missing
        raise InputError(f"{file} cannot be read: {line_of(error)}") from None
    _check_kind(file, config)
    convert_tokenizer(file, out)
    return _plain(_loaded(file.parent, **where))


def _plain(dequantized: nn.Module) -> nn.Module:
    """Return a model with these weights that does not take itself for a quantized one."""
    config = dequantized.config
    del config.quantization_config
    with torch.device("meta"):  # nothing is drawn that would be overwritten
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(dequantized.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = dequantized.generation_config
    return model


def _check_kind(source: Path, config: Any) -> None:
    """Refuse what is no decoder-only language model of a family with a table of its parts."""
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(f"{source} is an encoder-decoder ({config.model_type}): name a decoder-only model")
    named = ", ".join(config.architectures or ())
    if named and not is_causal(config):
        raise InputError(f"{source} is a {named}, no language model: name one that ends with ForCausalLM")
    if config.model_type not in CAUSAL_FAMILIES:
        known = ", ".join(CAUSAL_FAMILIES)
        raise InputError(f"{source} is of the family {config.model_type}, not known; known: {known}")


def _loaded(folder: Path, **how: Any) -> nn.Module:
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, trust_remote_code=False, dtype=torch.float32, output_loading_info=True, **how
        )
    except Exception as error:
        raise InputError(f"{folder} cannot be loaded as a language model: {line_of(error)}") from None
    wrong = sorted({*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])})
    if wrong:
        raise InputError(f"{folder}: the weights do not fit: {len(wrong)} missing, such as {wrong[0]}")
    return model
