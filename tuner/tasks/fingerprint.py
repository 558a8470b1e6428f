"""Fingerprint: what a study's documents depend on, for the key of the cache."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tuner.errors import InputError
from tuner.spec.model import StudySpec
from tuner.spec.sources import resolve


def data_key(spec: StudySpec) -> dict[str, Any]:
    """Return JSON-able key parts: the files' content (or the Hub id), the data section, the seed.

    Where the files lie is no part of it: the same content elsewhere is the same data.

    Raises:
        InputError: the source does not exist or cannot be read.
    """
    section = spec.data.model_dump(mode="json", exclude={"source"})
    return {"content": _content(spec), "data": section, "seed": spec.seed}


def _content(spec: StudySpec) -> str:
    source = spec.data.source
    if spec.data.format == "hub":
        return f"hub {source}"
    try:
        found = resolve(source, spec.base)
        return _hash(found) if isinstance(found, Path) else f"hub {found}"
    except InputError as error:
        raise InputError(f"data.source: {error}") from None
    except OSError as error:
        raise InputError(f"data.source: {error.filename}: {error.strerror}") from None


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        name = str(file.relative_to(path)) if path.is_dir() else file.suffix
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()
