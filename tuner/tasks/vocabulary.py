"""Vocabulary: a WordPiece tokenizer learnt from the train split, for a model that starts from nothing."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tuner.errors import InputError
from tuner.spec.model import StudySpec
from tuner.tasks.documents import Documents

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
DEFAULT_SIZE = 8000
MIN_SIZE = 32
MAX_ALPHABET = 1000


def train_tokenizer(documents: Documents, spec: StudySpec, out: Path) -> dict[str, Any]:
    """Write a tokenizer folder learnt from the train texts; return {"vocabulary", "pad_token_id"}.

    Lower-cased WordPiece as in BERT (Devlin et al. 2019, section 3), of at most `model.config.vocab_size`
    tokens (default 8000). The same texts give the same file.

    Raises:
        InputError: `model.config.vocab_size` is no number, or too small for an alphabet.
    """
    wanted = (spec.model.config or {}).get("vocab_size", DEFAULT_SIZE)
    if not isinstance(wanted, int) or wanted < MIN_SIZE:
        raise InputError(
            f"model.config: vocab_size must be a whole number of at least {MIN_SIZE}, not {wanted!r}"
        )
    tokenizer = _learn(documents["train"].texts, wanted)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    (out / "tokenizer_config.json").write_text(json.dumps(_config(spec.model.max_length), indent=1))
    return {"vocabulary": tokenizer.get_vocab_size(), "pad_token_id": 0}


def _learn(texts: list[str], size: int) -> Tokenizer:
    tokenizer = _untrained(models.WordPiece(unk_token="[UNK]"))
    plain = [tokenizer.normalizer.normalize_str(text) for text in texts]
    alphabet, rare = _alphabet(plain, min(MAX_ALPHABET, (size - len(SPECIAL)) // 2))
    # The trainer numbers inner letters as it meets them, in an order that changes from run to run, and breaks
    # ties by number. Named here, they have fixed numbers, and the same texts give the same vocabulary.
    first = SPECIAL + sorted("##" + letter for letter in alphabet)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=2, special_tokens=first, show_progress=False
    )
    tokenizer.train_from_iterator([text.translate(rare) for text in plain], trainer)
    model = models.WordPiece(tokenizer.get_vocab(with_added_tokens=False), unk_token="[UNK]")
    return _with_ends(_untrained(model))


def _alphabet(texts: list[str], most: int) -> tuple[list[str], dict[int, str]]:
    """Return the `most` frequent letters, and a translation that makes a blank of every other one."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    letters = sorted((c for c in counts if not c.isspace()), key=lambda c: (-counts[c], c))
    return letters[:most], {ord(letter): " " for letter in letters[most:]}


def _untrained(model: models.WordPiece) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer


def _with_ends(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens(SPECIAL)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return tokenizer


def _config(max_length: int) -> dict[str, Any]:
    named = {f"{name.strip('[]').lower()}_token": name for name in SPECIAL}
    inputs = ["input_ids", "attention_mask"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "model_input_names": inputs,
        **named,
    }
