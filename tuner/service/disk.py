"""Disk: what this host's cache really takes, by kind of entry, beside what the database says of artefacts."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tuner.store import tuner_home

_LOCKS = "locks"  # of no size


@dataclass(frozen=True)
class Held:
    """What the entries of one kind take together."""

    kind: str
    entries: int
    size_bytes: int


@dataclass(frozen=True)
class Disk:
    """The cache of this host: by kind, the largest first; and how much room its disk has left."""

    kinds: tuple[Held, ...]
    free_bytes: int
    total_bytes: int

    @property
    def size_bytes(self) -> int:
        """Return what the whole cache takes."""
        return sum(held.size_bytes for held in self.kinds)

    def of(self, *kinds: str) -> Held:
        """Return what the entries of some kinds take together."""
        found = [held for held in self.kinds if held.kind in kinds]
        return Held(", ".join(kinds), sum(h.entries for h in found), sum(h.size_bytes for h in found))


def disk_use(home: Path | None = None) -> Disk:
    """Look through this host's cache: thousands of files, so not at every refresh of a screen."""
    home = home or tuner_home()
    kinds = sorted(_held(home / "cache"), key=lambda held: -held.size_bytes)
    room = shutil.disk_usage(next(each for each in (home, *home.absolute().parents) if each.exists()))
    return Disk(tuple(kinds), room.free, room.total)


def _held(cache: Path) -> Iterator[Held]:
    for folder in _folders(cache):
        if folder.name != _LOCKS:
            entries = _folders(folder)
            yield Held(folder.name, len(entries), sum(map(_size, entries)))


def _folders(path: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [Path(entry) for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    return []


def _size(path: Path) -> int:
    """Return the size of a folder's files; what a worker removes meanwhile takes nothing."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - called for every file
    return total
