"""Encode: texts as the integers that a model takes, cut at its limit, padded, in one file a split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

from tuner.errors import InputError
from tuner.spec.model import StudySpec
from tuner.tasks.documents import SPLITS, Documents

#: A text is one segment, so `token_type_ids` would be zeros, which is what every model assumes without them.
INPUTS = ["input_ids", "attention_mask"]
_PAD_TOKENS = ("[PAD]", "<pad>", "<|endoftext|>")


def encode(documents: Documents, tokenizer: Path, spec: StudySpec, out: Path) -> dict[str, Any]:
    """Write `train.npz`, `validation.npz`, `test.npz`, `meta.json` and the texts; return the meta data.

    `distill.npz` holds what students learn from: the train split in up to `recover.windows` windows a text.
    Each .npz holds int64 `input_ids` and `attention_mask` (documents, tokens), padded on the right to the
    longest of the split, and int64 `labels` (documents,). Texts over `model.max_length` tokens are cut, with
    their last special token kept, and counted per split in `meta.json` under `truncated`.

    Raises:
        InputError: the folder has no tokenizer, or it names no padding token.
    """
    coder, pad = load_tokenizer(tokenizer, spec.model.max_length)
    out.mkdir(parents=True, exist_ok=True)
    truncated = {name: _encode_split(documents, name, coder, pad, out) for name in SPLITS}
    distilled = _encode_windows(documents, coder, pad, spec.recover.windows, out)
    documents.save(out)
    meta = {
        "distilled": distilled,
        "labels": documents.labels,
        "documents": documents.summary(),
        "truncated": truncated,
        "pad_token_id": pad,
        "vocabulary": coder.get_vocab_size(),
        "inputs": INPUTS,
        "max_length": spec.model.max_length,
    }
    (out / "meta.json").write_text(json.dumps(meta, indent=1))
    return meta


def _encode_split(documents: Documents, name: str, coder: Tokenizer, pad: int, out: Path) -> int:
    split = documents[name]
    encodings = coder.encode_batch(split.texts)
    labels = np.array(split.labels, dtype=np.int64)
    arrays: dict[str, Any] = {**padded(encodings, pad), "labels": labels}
    np.savez(out / f"{name}.npz", **arrays)
    return sum(bool(encoding.overflowing) for encoding in encodings)


def _encode_windows(documents: Documents, coder: Tokenizer, pad: int, windows: int, out: Path) -> int:
    """Write `distill.npz`: the train split, and of cut texts the windows after the first; return its size.

    A student learns from what its teacher says, so text that the model would never be asked about teaches as well.
    """
    split = documents["train"]
    taken, labels = [], []
    for encoding, label in zip(coder.encode_batch(split.texts), split.labels, strict=True):
        own = [encoding, *encoding.overflowing[: windows - 1]]
        taken += own
        labels += [label] * len(own)
    arrays: dict[str, Any] = {**padded(taken, pad), "labels": np.array(labels, dtype=np.int64)}
    np.savez(out / "distill.npz", **arrays)
    return len(taken)


def padded(encodings: list[Encoding], pad: int) -> dict[str, np.ndarray]:
    """Return int64 `input_ids` and `attention_mask` of shape (len(encodings), longest)."""
    longest = max(len(encoding.ids) for encoding in encodings)
    ids = np.full((len(encodings), longest), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def load_tokenizer(folder: Path, max_length: int) -> tuple[Tokenizer, int]:
    """Return a folder's tokenizer, cutting at `max_length` and not padding, and its padding id.

    Raises:
        InputError: there is none, it cannot be read, or it has no padding token.
    """
    coder = read_tokenizer(folder)
    pad = pad_id(folder, coder)
    if pad is None:
        raise InputError(f"model: the tokenizer in {folder} names no padding token")
    coder.no_padding()
    try:
        coder.enable_truncation(max_length)
    except Exception as error:  # fewer than its special tokens
        raise InputError(
            f"model.max_length: {max_length} is too short for this tokenizer ({error})"
        ) from None
    return coder, pad


def read_tokenizer(folder: Path) -> Tokenizer:
    """Return a folder's tokenizer as it is kept there.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    file = folder / "tokenizer.json"
    try:
        return Tokenizer.from_file(str(file)) if file.exists() else _converted(folder)
    except InputError:
        raise
    except Exception as error:  # the library raises Exception itself
        raise InputError(f"model: {file} cannot be read: {str(error).splitlines()[0][:200]}") from None


def _converted(folder: Path) -> Tokenizer:
    """Return the tokenizer of an older folder (vocab.txt, spiece.model …) as transformers converts it."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False).backend_tokenizer
    except Exception as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError(f"model: {folder} has no tokenizer.json, nor another tokenizer ({reason})") from None


def pad_id(folder: Path, coder: Tokenizer) -> int | None:
    """Return the id of a folder's padding token: as its tokenizer, its model or its token file names it."""
    token = read_json(folder / "tokenizer_config.json").get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    candidates = [coder.token_to_id(token)] if isinstance(token, str) else []
    candidates += [read_json(folder / "config.json").get("pad_token_id"), (coder.padding or {}).get("pad_id")]
    candidates += [coder.token_to_id(name) for name in _PAD_TOKENS]
    return next((int(found) for found in candidates if found is not None), None)


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file, or nothing where there is no such file or it holds no object."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
