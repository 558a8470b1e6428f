"""Limits: how many tokens a model takes, read from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.errors import InputError

#: Families whose positions start after the padding id, so that two of the 514 they count are never used.
_OFFSET = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet", "data2vec-text"}
_NAMES = ("max_position_embeddings", "n_positions", "max_sequence_length")


def position_limit(config: Mapping[str, Any]) -> int | None:
    """Return the most tokens that a transformers configuration takes, or None where it names no limit."""
    limit = next((config[name] for name in _NAMES if isinstance(config.get(name), int)), None)
    if limit is None or limit <= 0:
        return None
    if config.get("model_type") in _OFFSET:
        return int(limit - 1 - config.get("pad_token_id", 1))
    return int(limit)


def check_max_length(config: Mapping[str, Any], max_length: int) -> None:
    """Refuse a study whose `max_length` is beyond what the model takes. `config`: full transformers fields.

    Raises:
        InputError: it is; the message begins with `model.max_length`, so that the study's line can be found.
    """
    limit = position_limit(config)
    if limit is not None and max_length > limit:
        raise InputError(
            f"model.max_length: {max_length} tokens, but this model takes at most {limit}; lower it"
        )
