import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForSequenceClassification

from tuner.compress.checkpoint import save_checkpoint

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


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


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


@pytest.fixture
def checkpoint(tmp_path):
    def make(name, **more):
        folder = tmp_path / f"checkpoint-{name}"
        tiny_tokenizer(folder)
        model = build(name, **more)
        model.config.id2label = {0: "a", 1: "b", 2: "c"}
        save_checkpoint(model, folder, folder)
        return folder, model

    return make


@pytest.fixture
def data(tmp_path):
    """48 documents of 4 to 12 tokens: the class is which third of the vocabulary the words are from."""
    rng, folder = np.random.default_rng(0), tmp_path / "data"
    folder.mkdir()
    for split in ("train", "distill", "validation", "test"):
        labels = rng.integers(0, 3, 48)
        mask = (np.arange(12) < rng.integers(4, 13, 48)[:, None]).astype(np.int64)
        ids = mask * (4 + labels[:, None] * 18 + rng.integers(0, 18, (48, 12)))
        np.savez(folder / f"{split}.npz", input_ids=ids, attention_mask=mask, labels=labels)
    (folder / "meta.json").write_text(json.dumps({"labels": ["a", "b", "c"]}))
    return folder


@pytest.fixture
def inputs():
    """Batches of several sizes and lengths, with padding."""
    torch.manual_seed(3)
    found = []
    for batch, length in ((1, 4), (2, 11), (5, 40)):
        mask = torch.ones(batch, length, dtype=torch.int64)
        mask[-1, length // 2 + 1 :] = 0
        found.append({"input_ids": torch.randint(4, 60, (batch, length)) * mask, "attention_mask": mask})
    return found


@pytest.fixture
def folder(tmp_path):
    """Make a new empty folder, as jobs get for their output."""

    def make(name):
        path = tmp_path / name
        path.mkdir()
        return str(path)

    return make
