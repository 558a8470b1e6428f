"""Tiny language models of each family, with a tokenizer that has a chat template, and text that can be learnt."""

import json

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM

SIZES = {
    "vocab_size": 60,
    "hidden_size": 48,
    "num_hidden_layers": 5,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 8,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WINDOW = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2}
#: One key-value head or one for each query head, tied or own output matrix, biases, layers of two kinds.
FAMILIES = {
    "llama": ("llama", {**SIZES, "tie_word_embeddings": True}),
    "llama-biased": ("llama", {**SIZES, "attention_bias": True, "mlp_bias": True}),
    "llama-no-groups": ("llama", {**SIZES, "num_key_value_heads": 6}),
    "mistral": ("mistral", {**SIZES, "sliding_window": None}),
    "qwen2": ("qwen2", {**SIZES, **WINDOW, "tie_word_embeddings": True}),
    "qwen3": ("qwen3", SIZES),
}
TEMPLATE = (
    "{% for m in messages %}{{ '<turn>' + m['role'] + ' ' + m['content'] + '<end>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<turn>assistant ' }}{% endif %}"
)


def build(name, **more):
    """Return a model whose weights are large enough that every part of it moves the logits."""
    kind, fields = FAMILIES[name]
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**fields, **more})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return model


def write_tokenizer(folder, template=TEMPLATE, inside=False):
    """Write word-level tokenizer files; the template as a file of its own or inside the settings."""
    words = {"<pad>": 0, "<turn>": 1, "<end>": 2, "<unk>": 3, **{f"w{i}": i for i in range(4, 60)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in ("<pad>", "<turn>", "<end>", "<unk>")])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "unk_token": "<unk>"}
    if template and inside:
        settings["chat_template"] = template
    elif template:
        (folder / "chat_template.jinja").write_text(template)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def write_data(folder, windows=24, length=16):
    """Write running text in which each word is followed by the next number, or, one time in five, by any."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for split in ("train", "distill"):
        ids = rng.integers(4, 60, (windows, length))
        for t in range(1, length):
            follows = rng.random(windows) < 0.8
            ids[:, t] = np.where(follows, 4 + (ids[:, t - 1] - 3) % 56, ids[:, t])
        mask = np.ones_like(ids)
        mask[-1, length // 2 :] = 0  # the last window is not full
        np.savez(folder / f"{split}.npz", input_ids=ids * mask, attention_mask=mask)
    return folder
