"""Tiny real checkpoints and inputs for the engine tests."""

import json

import numpy as np
import torch
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    RobertaConfig,
)

MAX_LENGTH = 48
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
COMMON = {"vocab_size": 100, "num_labels": 3, "pad_token_id": 0}
FAMILIES = {
    "bert": BertConfig(**SMALL, **COMMON, max_position_embeddings=MAX_LENGTH),
    "distilbert": DistilBertConfig(
        dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=MAX_LENGTH, **COMMON
    ),
    "roberta": RobertaConfig(**SMALL, **COMMON, max_position_embeddings=MAX_LENGTH + 2),
    "electra": ElectraConfig(**SMALL, **COMMON, embedding_size=16, max_position_embeddings=MAX_LENGTH),
    "albert": AlbertConfig(**SMALL, **COMMON, embedding_size=16, max_position_embeddings=MAX_LENGTH),
    "modernbert": ModernBertConfig(
        **SMALL,
        **COMMON,
        max_position_embeddings=MAX_LENGTH,
        local_attention=16,
        global_attn_every_n_layers=2,
    ),
    "deberta-v2": DebertaV2Config(
        **SMALL,
        **COMMON,
        # Its position buckets are a rounded-up logarithm that is a whole number at the very last distance: there an
        # engine's last bit decides on the bucket. Real models are not used so near to their end.
        max_position_embeddings=MAX_LENGTH + 16,
        relative_attention=True,
        position_buckets=8,
        pos_att_type=["p2c", "c2p"],
        share_att_key=True,
        norm_rel_ebd="layer_norm",
    ),
}


def checkpoint(folder, config, scale=6.0):
    """Write a checkpoint whose logits hang on every part of it.

    As initialised, attention is nearly uniform and residuals drown what it adds: even a lost attention mask would
    move the logits by less than a percent.
    """
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data *= scale
    model.save_pretrained(folder)
    (folder / "shape.json").write_text(json.dumps({"attributes": {}}))
    return folder


def inputs(file, documents=48, length=40):
    """Write encoded documents of differing lengths, padded on the right."""
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 100, (documents, length))
    mask = (np.arange(length) < rng.integers(5, length + 1, (documents, 1))).astype(np.int64)
    np.savez(file, input_ids=ids * mask, attention_mask=mask)
    return file
