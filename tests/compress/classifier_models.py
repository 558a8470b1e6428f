"""Tiny classifiers of every family that is cut, and a tokenizer for them."""

import json

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForSequenceClassification

WIDE = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 48,
    "pad_token_id": 0,
}
DISTIL = {"vocab_size": 60, "dim": 32, "n_layers": 4, "n_heads": 4, "hidden_dim": 64, "pad_token_id": 0}
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
MODERN = {**WIDE, **SPECIAL, "local_attention": 8, "global_attn_every_n_layers": 3}
DEBERTA = {**WIDE, "pooler_hidden_size": 32}
RELATIVE = {**DEBERTA, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
BUCKETS = {"position_buckets": 8, "share_att_key": True, "norm_rel_ebd": "layer_norm", "conv_kernel_size": 3}
#: Tiny models of each family; more than one of a family where its attention has variants.
CONFIGS = {
    "bert": ("bert", WIDE),
    "roberta": ("roberta", {**WIDE, "type_vocab_size": 1}),
    "electra": ("electra", {**WIDE, "embedding_size": 16}),
    "distilbert": ("distilbert", {**DISTIL, "max_position_embeddings": 48}),
    "albert": ("albert", {**WIDE, "embedding_size": 16}),
    "modernbert": ("modernbert", MODERN),
    "deberta": ("deberta", {**RELATIVE, "position_biased_input": False}),
    "deberta-plain": ("deberta", DEBERTA),
    "deberta-v2": ("deberta-v2", {**RELATIVE, **BUCKETS}),
    "deberta-v2-own-keys": ("deberta-v2", {**RELATIVE, "share_att_key": False}),
}


def tiny_tokenizer(folder):
    words = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, **{f"w{i}": i for i in range(4, 60)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def build(name, **more):
    """A model whose weights are large enough that every part of it moves the logits."""
    kind, fields = CONFIGS[name]
    torch.manual_seed(1)
    config = AutoConfig.for_model(kind, **{**fields, "num_labels": 3, **more})
    model = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return model
