"""Pieces: what lies in this host's cache, when it was used, and what was made from what."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_APART = ("partial", "locks")  # folders of the cache that hold no entries
#: Made once a study, before or beside its trials, and named by none of them: made from what stays, they stay as well.
_PREPARED = ("tokenizer", "describe", "importance", "teacher-outputs")


@dataclass(frozen=True)
class Piece:
    """A directory of the cache, `root/KIND/KEY`: an entry, or what all builds of one checkpoint share."""

    kind: str
    key: str
    path: Path
    size_bytes: int
    used: float  # when it was used last, in seconds since 1970

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {"kind": self.kind, "key": self.key, "bytes": self.size_bytes, "used": round(self.used)}


def pieces_in(cache: Path) -> Iterator[Piece]:
    """Return what lies in a cache, unfinished entries and locks aside."""
    for path in sorted(cache.glob("*/*")):
        if path.is_dir() and path.parent.name not in _APART:
            files = [p.stat() for p in path.rglob("*") if p.is_file()]
            yield Piece(path.parent.name, path.name, path, sum(f.st_size for f in files), used(path))


def used(path: Path) -> float:
    """Return when an entry was used last: whoever finds it touches its description."""
    entry = path / "entry.json"
    with contextlib.suppress(FileNotFoundError):
        return entry.stat().st_mtime
    return max((p.stat().st_mtime for p in [path, *path.rglob("*")]), default=0.0)


def reached_from(pieces: Iterable[Piece], keys: set[str]) -> set[str]:
    """Return the keys, those of all entries that these were made from, and what was prepared from such alone."""
    pieces = list(pieces)
    known: dict[str, list[Piece]] = {}
    for piece in pieces:
        known.setdefault(piece.key, []).append(piece)
    reached, ahead = set[str](), list(keys & known.keys())
    while ahead:
        key = ahead.pop()
        if key not in reached:
            reached.add(key)
            ahead += [text for piece in known[key] for text in _made_from(piece, known)]
    prepared = ((piece, _made_from(piece, known)) for piece in pieces if piece.kind in _PREPARED)
    return reached | {piece.key for piece, sources in prepared if sources and sources <= reached}


def _made_from(piece: Piece, known: Collection[str]) -> set[str]:
    """Return the keys of the entries that an entry's own description names."""
    return {text for text in _texts(_parts(piece.path)) if text in known}


def _parts(path: Path) -> Any:
    try:
        return json.loads((path / "entry.json").read_text())["parts"]
    except (OSError, ValueError, KeyError):
        return {}


def _texts(value: Any) -> Iterator[str]:
    """Return all strings inside JSON data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
