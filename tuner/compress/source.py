"""Source: whatever transformers can load as a classifier, as this study's first checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from tuner.compress.checkpoint import save_checkpoint
from tuner.compress.reading import check_weights, config_of, line_of, tokenizer_folder
from tuner.errors import InputError
from tuner.spec.nearest import did_you_mean


def import_model(
    source_dir: str | None,
    config: dict[str, Any] | None,
    labels: list[str],
    tokenizer_dir: str,
    seed: int,
    out: str,
) -> dict[str, Any]:
    """Write a folder's model, or a new one of a configuration; return {"trained_head": bool}.

    A head that was trained for exactly these label names is kept, its rows in the order of `labels`; any
    other is drawn anew from the seed. Reads safetensors only and runs no code of the model's folder.

    Raises:
        InputError: no weights, pickled weights, an unknown architecture, or an impossible configuration.
    """
    torch.manual_seed(seed)
    if source_dir is not None:
        model, trained = _loaded(Path(source_dir), labels)
    else:
        model, trained = _new(config or {}, labels, Path(tokenizer_dir)), False
    tokenizer = tokenizer_folder(Path(tokenizer_dir), Path(out))
    save_checkpoint(model.float(), tokenizer, Path(out))
    return {"trained_head": trained}


def _loaded(folder: Path, labels: list[str]) -> tuple[nn.Module, bool]:
    config = config_of(folder)
    check_weights(folder)
    named = [str(name) for name in (getattr(config, "id2label", None) or {}).values()]
    fits = sorted(named) == sorted(labels)
    order = named if fits else labels
    model, missing = _weights(folder, order)
    trained = fits and not missing
    if trained:
        _reorder(model, [order.index(name) for name in labels])
    _name_labels(model.config, labels)
    return model, trained


def _weights(folder: Path, labels: list[str]) -> tuple[nn.Module, list[str]]:
    """Return the model and the names of its head's weights that the folder lacks."""
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=len(labels),
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    except Exception as error:
        raise InputError(f"{folder} cannot be loaded as a classifier: {line_of(error)}") from None
    absent = sorted({*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])})
    body = [key for key in absent if key.startswith(model.base_model_prefix + ".") and "pooler" not in key]
    if body:
        raise InputError(
            f"{folder}: the weights do not fit its config.json: {len(body)} missing, such as {body[0]}"
        )
    return model, absent


def _reorder(model: nn.Module, order: list[int]) -> None:
    """Put the rows of the head's last matrix in this order."""
    head = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == len(order)][-1]
    with torch.no_grad():
        head.weight.copy_(head.weight[order].clone())
        if head.bias is not None:
            head.bias.copy_(head.bias[order].clone())


def _new(fields: dict[str, Any], labels: list[str], tokenizer: Path) -> nn.Module:
    values = {**fields, **_vocabulary(tokenizer)}
    kind = values.pop("model_type", None)
    try:
        known = AutoConfig.for_model(kind)
    except Exception as error:
        raise InputError(f"model.config.model_type: {line_of(error)}") from None
    for name in fields:
        if name != "model_type" and not hasattr(known, name):
            raise InputError(
                f"model.config.{name}: no field of a {kind} model{did_you_mean(name, list(known.to_dict()))}"
            )
    try:
        config = AutoConfig.for_model(kind, **values)
        _name_labels(config, labels)
        return AutoModelForSequenceClassification.from_config(
            config, trust_remote_code=False, dtype=torch.float32
        )
    except Exception as error:
        raise InputError(f"model.config: {line_of(error)}") from None


def _vocabulary(tokenizer: Path) -> dict[str, int]:
    """Return the size that the embedding needs, and the padding id, as the tokenizer's folder has them."""
    coder = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    settings = json.loads((tokenizer / "tokenizer_config.json").read_text())
    pad = coder.token_to_id(str(settings.get("pad_token")))
    return {"vocab_size": coder.get_vocab_size(), **({} if pad is None else {"pad_token_id": pad})}


def _name_labels(config: Any, labels: list[str]) -> None:
    config.id2label = dict(enumerate(labels))
    config.label2id = {name: i for i, name in enumerate(labels)}
    config.problem_type = "single_label_classification"
