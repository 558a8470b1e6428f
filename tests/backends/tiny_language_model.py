"""A tiny language model that has learnt something: each token is that of two places before, permuted."""

import json

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

#: No matrix is as wide as there are words: ONNX Runtime GenAI's builder would take it for the last layer.
WORDS, CONTEXT = 72, 96
_SPECIAL = ("<unk>", "<s>", "</s>")


def texts(rows, length, seed):
    """Return tokens (rows, length): two random ones, then what the rule says."""
    rng = np.random.default_rng(seed)
    rule = np.random.default_rng(0).permutation(np.arange(len(_SPECIAL), WORDS))
    tokens = rng.integers(len(_SPECIAL), WORDS, (rows, length))
    for place in range(2, length):
        tokens[:, place] = rule[tokens[:, place - 2] - len(_SPECIAL)]
    return tokens


def written(file, rows=16, length=48):
    """Write encoded windows of text, the last one padded."""
    ids = texts(rows, length, seed=1000)
    mask = np.ones_like(ids)
    mask[-1, length // 2 :] = 0
    np.savez(file, input_ids=ids * mask, attention_mask=mask)
    return file


def checkpoint(folder, steps=100, width=64):
    """Train the model for some seconds and write it with its tokenizer.

    As initialised, its answers would hang on the last bit: no engine's would agree with another's.
    """
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=width // 4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.64 / width)
    for step in range(steps):
        given = torch.from_numpy(texts(16, 40, seed=step))
        logits = model(input_ids=given, use_cache=False).logits[:, 1:-1]
        torch.nn.functional.cross_entropy(logits.reshape(-1, WORDS), given[:, 2:].reshape(-1)).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    (folder / "shape.json").write_text(json.dumps({"attributes": {}}))
    _tokenizer().save_pretrained(folder)
    return folder


def _tokenizer():
    words = {word: number for number, word in enumerate(_SPECIAL)}
    words |= {f"w{number}": number for number in range(len(_SPECIAL), WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<unk>"
    )
