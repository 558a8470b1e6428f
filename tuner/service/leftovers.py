"""Leftovers: what crashes left in the tuner's home: unfinished entries, locks, folders of jobs."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

_DAY = 86400.0


def leftovers_in(home: Path) -> Iterator[Path]:
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


def delete(path: Path) -> None:
    """Remove a leftover; a lock only while it is ours: without its file others would come in beside its holder."""
    with contextlib.suppress(OSError, Timeout):
        if path.suffix == ".lock":
            with FileLock(path, timeout=0):
                path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
