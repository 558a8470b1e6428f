"""Text classification: one label for each document. All of its functions; jobs run the `…_job` ones.

A job takes and returns plain data: `spec` is `StudySpec.to_plain()`, paths are strings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuner.spec.model import StudySpec
from tuner.tasks.documents import Documents
from tuner.tasks.encode import encode
from tuner.tasks.fingerprint import data_key
from tuner.tasks.limits import check_max_length
from tuner.tasks.quality import confusion_matrix, drops, evaluate, paired_drop, predictions
from tuner.tasks.read import documents
from tuner.tasks.vocabulary import train_tokenizer

__all__ = [
    "check_max_length",
    "confusion_matrix",
    "data_key",
    "documents",
    "documents_job",
    "drops",
    "encode",
    "encode_job",
    "encode_key",
    "evaluate",
    "paired_drop",
    "predictions",
    "train_tokenizer",
    "train_tokenizer_job",
]


def documents_job(spec: dict[str, Any], out: str) -> dict[str, Any]:
    """Write the study's documents to `out` (`Documents.load` reads them); return {"labels", "documents"}."""
    return documents(StudySpec.model_validate(spec)).save(Path(out))


def train_tokenizer_job(spec: dict[str, Any], documents: str, out: str) -> dict[str, Any]:
    """Write a tokenizer folder learnt from the documents in `documents`; return size and padding id."""
    return train_tokenizer(Documents.load(Path(documents)), StudySpec.model_validate(spec), Path(out))


def encode_job(spec: dict[str, Any], documents: str, tokenizer: str, out: str) -> dict[str, Any]:
    """Write the encoded splits of the documents in folder `documents`; return the content of `meta.json`."""
    loaded = Documents.load(Path(documents))
    return encode(loaded, Path(tokenizer), StudySpec.model_validate(spec), Path(out))


def encode_key(spec: StudySpec) -> dict[str, Any]:
    """Return what the encoded data depends on, beside documents and tokenizer, for a cache key."""
    return {"length": spec.model.max_length, "windows": spec.recover.windows}
