"""Garbage: what of this host's cache no stored study refers to, and what crashes left behind."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.hardware import this_host
from tuner.service.leftovers import delete, leftovers_in
from tuner.service.pieces import Piece, pieces_in, reached_from, used
from tuner.store import Store, tuner_home

_HOUR = 3600.0


@dataclass(frozen=True)
class Collected:
    """What was removed, or would be in a dry run; what stays, and how much of that stored studies refer to.

    `leftovers` are paths that crashes left: unfinished entries, old locks, folders of jobs.
    """

    dry_run: bool
    removed: tuple[Piece, ...]
    leftovers: tuple[Path, ...]
    kept: int
    kept_bytes: int
    referenced_bytes: int

    @property
    def removed_bytes(self) -> int:
        """Return the size of the removed entries."""
        return sum(piece.size_bytes for piece in self.removed)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {
            **vars(self),
            "removed": [piece.to_json() for piece in self.removed],
            "removed_bytes": self.removed_bytes,
            "leftovers": [str(path) for path in self.leftovers],
        }


def collect(store: Store, dry_run: bool = False, keep_bytes: int = 0) -> Collected:
    """Remove from this host's cache what no study of the database refers to and nobody uses now.

    Unreferenced entries stay, the last used first, while the whole cache is no larger than `keep_bytes`.
    """
    pieces = list(pieces_in(tuner_home() / "cache"))
    since = _in_use_since(store)  # first: a trial that ends after this look is known by its keys at the next
    named = reached_from(pieces, store.referenced_keys())
    loose = [piece for piece in pieces if piece.key not in named and piece.used < since]
    room = keep_bytes - (sum(p.size_bytes for p in pieces) - sum(p.size_bytes for p in loose))
    doomed = _beyond(sorted(loose, key=lambda piece: piece.used, reverse=True), room)
    if not dry_run:
        doomed = [piece for piece in doomed if _remove(store, piece)]
    leftovers = list(leftovers_in(tuner_home()))
    for path in () if dry_run else leftovers:
        delete(path)
    return _collected(dry_run, pieces, doomed, leftovers, named)


def _collected(
    dry_run: bool, pieces: list[Piece], removed: list[Piece], leftovers: list[Path], named: set[str]
) -> Collected:
    gone = set(removed)
    stay = [piece for piece in pieces if piece not in gone]
    return Collected(
        dry_run,
        tuple(removed),
        tuple(leftovers),
        kept=len(stay),
        kept_bytes=sum(piece.size_bytes for piece in stay),
        referenced_bytes=sum(piece.size_bytes for piece in stay if piece.key in named),
    )


def _in_use_since(store: Store) -> float:
    """Return the time since when what was used may be in use still.

    A trial that runs, or a study that is being prepared, is not written down with what it used until it is over.
    """
    running = [r.since.timestamp() for r in store.running() if r.since is not None]
    prepared = [study.created_at.timestamp() for study in store.studies_in(("queued",))]
    return min([time.time() - _HOUR, *running, *prepared])


def _beyond(loose: Sequence[Piece], room: float) -> list[Piece]:
    """Return what is too much, of entries with the last used first."""
    for count, piece in enumerate(loose):
        room -= piece.size_bytes
        if room < 0:
            return list(loose[count:])
    return []


def _remove(store: Store, piece: Piece) -> bool:
    """Remove an entry unless it was used meanwhile; it goes by one rename, so that others see all of it or nothing."""
    gone = piece.path.parents[1] / "partial" / f"gone-{uuid.uuid4().hex[:12]}"
    try:
        if used(piece.path) > piece.used:
            return False
        gone.parent.mkdir(parents=True, exist_ok=True)
        piece.path.rename(gone)
    except OSError:  # another collector was faster, or the cache is not ours to change
        return False
    shutil.rmtree(gone, ignore_errors=True)
    if piece.kind == "build":
        store.forget_artefact(piece.key, this_host())
    return True
