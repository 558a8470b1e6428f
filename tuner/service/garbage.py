"""Garbage: what of this host's cache no stored study refers to, and what crashes left behind."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from tuner.hardware import this_host
from tuner.store import Store, tuner_home

_HOUR, _DAY = 3600.0, 86400.0
_APART = ("partial", "locks")  # folders of the cache that hold no entries


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
    pieces = list(_pieces(tuner_home() / "cache"))
    named = _reached(pieces, store.referenced_keys())
    since = _in_use_since(store)
    fixed = [p for p in pieces if p.key in named or p.used >= since]
    room = keep_bytes - sum(p.size_bytes for p in fixed)
    loose = sorted((p for p in pieces if p not in set(fixed)), key=lambda p: p.used, reverse=True)
    doomed = _beyond(loose, room)
    if not dry_run:
        doomed = [piece for piece in doomed if _remove(store, piece)]
    leftovers = list(_leftovers(tuner_home()))
    for path in () if dry_run else leftovers:
        _delete(path)
    stay = [p for p in pieces if p not in set(doomed)]
    return Collected(
        dry_run,
        tuple(doomed),
        tuple(leftovers),
        kept=len(stay),
        kept_bytes=sum(p.size_bytes for p in stay),
        referenced_bytes=sum(p.size_bytes for p in stay if p.key in named),
    )


def _pieces(cache: Path) -> Iterator[Piece]:
    for path in sorted(cache.glob("*/*")):
        if path.is_dir() and path.parent.name not in _APART:
            files = [p.stat() for p in path.rglob("*") if p.is_file()]
            yield Piece(path.parent.name, path.name, path, sum(f.st_size for f in files), _used(path))


def _used(path: Path) -> float:
    """Return when an entry was used last: whoever finds it touches its description."""
    entry = path / "entry.json"
    with contextlib.suppress(FileNotFoundError):
        return entry.stat().st_mtime
    return max((p.stat().st_mtime for p in [path, *path.rglob("*")]), default=0.0)


def _reached(pieces: Iterable[Piece], keys: set[str]) -> set[str]:
    """Return the keys, and those of all entries that one of these entries was made from."""
    known: dict[str, list[Piece]] = {}
    for piece in pieces:
        known.setdefault(piece.key, []).append(piece)
    reached, ahead = set[str](), list(keys & known.keys())
    while ahead:
        key = ahead.pop()
        if key not in reached:
            reached.add(key)
            ahead += [text for piece in known[key] for text in _texts(_parts(piece.path)) if text in known]
    return reached


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
        if _used(piece.path) > piece.used:
            return False
        gone.parent.mkdir(parents=True, exist_ok=True)
        piece.path.rename(gone)
    except OSError:  # another collector was faster, or the cache is not ours to change
        return False
    shutil.rmtree(gone, ignore_errors=True)
    if piece.kind == "build":
        store.forget_artefact(piece.key, this_host())
    return True


def _leftovers(home: Path) -> Iterator[Path]:
    """Return what crashes left, if it is older than a day: unfinished entries, locks, folders of jobs that are dead."""
    places = (
        (home / "cache" / "partial", "*"),
        (home / "cache" / "locks", "*.lock"),
        (home / "workers", "*.lock"),
    )
    for folder, pattern in places:
        yield from (p for p in sorted(folder.glob(pattern)) if _age(p) > _DAY)
    jobs = [p for p in sorted((home / "jobs").glob("job-*")) if _age(p) > _DAY]
    open_files = _open_files() if jobs else set[Path]()
    yield from (p for p in jobs if not any(file.is_relative_to(p) for file in open_files))


def _age(path: Path) -> float:
    """Return the seconds since anything in a directory, or a file, was written."""
    times = [p.stat().st_mtime for p in [path, *path.rglob("*")] if p.exists()]
    return time.time() - max(times, default=time.time())


def _open_files() -> set[Path]:
    """Return the files that processes of this host have open, as far as we may know: a job's log is, while it runs."""
    found: set[Path] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            found |= {Path(file.path) for file in process.open_files()}
    return found


def _delete(path: Path) -> None:
    """Remove a leftover; a lock only while it is ours: without its file others would come in beside its holder."""
    with contextlib.suppress(OSError, Timeout):
        if path.suffix == ".lock":
            with FileLock(path, timeout=0):
                path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
