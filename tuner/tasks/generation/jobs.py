"""Jobs of text generation: plain data in and out, as child processes run them, and what their results depend on.

`spec` is `StudySpec.to_plain()`, paths are strings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuner.errors import InputError
from tuner.spec.model import StudySpec
from tuner.tasks.documents import Documents
from tuner.tasks.generation.encode import encode
from tuner.tasks.read import documents as read_documents


def documents(spec: StudySpec) -> Documents:
    """Return the study's documents in three splits; they need no labels.

    Raises:
        InputError: as `tuner.tasks.read.documents`.
    """
    try:
        return read_documents(spec)
    except InputError as error:
        if str(error).startswith("data.label"):
            raise InputError(f"{error}; or write `label: null` to read texts without labels") from None
        raise


def documents_job(spec: dict[str, Any], out: str) -> dict[str, Any]:
    """Write the study's documents to `out` (`Documents.load` reads them); return {"labels", "documents"}."""
    return documents(StudySpec.model_validate(spec)).save(Path(out))


def encode_job(spec: dict[str, Any], documents: str, tokenizer: str, out: str) -> dict[str, Any]:
    """Write what the stages read of the documents in folder `documents`; return the content of `meta.json`."""
    loaded = Documents.load(Path(documents))
    return encode(loaded, Path(tokenizer), StudySpec.model_validate(spec), Path(out))


def encode_key(spec: StudySpec) -> dict[str, Any]:
    """Return what the encoded data depends on, beside documents and tokenizer, for a cache key."""
    return {
        "length": spec.model.max_length,
        "windows": spec.recover.windows,
        "calibration": spec.recover.calibration_samples,
        "asked": spec.asked.model_dump(mode="json"),
        "prompt": spec.scenario.prompt_tokens,
        "seed": spec.seed,
    }
