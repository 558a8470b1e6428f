"""Cache: every stage's output under the hash of everything it depends on.

Layout: `root/KIND/KEY/` holds the stage's files and `entry.json` (key parts, seconds, what the stage reported, the hash
of the content). An entry is made under a temporary name, synced, hashed and renamed, so a crash leaves a whole one or
none; of several processes that want the same one, the first makes it and the others wait.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache as memoize
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tuner.errors import JobError, TunerError
from tuner.pipeline.quiet import all_frozen

_LOOK = 1.0  # seconds of waiting before somebody looks if the maker is frozen


@dataclass(frozen=True)
class Entry:
    """One cached output: where it lies, whether it was there already, and what making it took."""

    kind: str
    key: str
    path: Path
    hit: bool
    seconds: float  # of this call; a hit costs next to nothing
    info: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""  # of the content


class Cache:
    """A content-addressed store of directories under `root`. A `frozen` one only finds, and makes nothing."""

    def __init__(self, root: Path, frozen: bool = False) -> None:
        self.root, self._frozen = root, frozen

    def get(self, kind: str, parts: Mapping[str, Any], make: Callable[[Path], Any]) -> Entry:
        """Return the entry for these key parts; `make(directory)` fills it when it is not there.

        Raises:
            JobError: of kind `disk-full` when the disk has no room; whatever `make` raises.
        """
        key, begin = digest(parts), time.monotonic()
        final = self.root / kind / key
        hit = (final / "entry.json").exists()
        if not hit and self._frozen:
            raise TunerError(f"stage {kind!r} of this study is not in the cache under {self.root}")
        if not hit:
            hit = self._made(final, parts, make)
        stored = _used(final / "entry.json")
        return Entry(
            kind, key, final, hit, time.monotonic() - begin, stored["info"], stored.get("sha256", "")
        )

    def _made(self, final: Path, parts: Mapping[str, Any], make: Callable[[Path], Any]) -> bool:
        """Make the entry, unless another process was about to: then wait for theirs and return True."""
        with self._turn(final):
            if (final / "entry.json").exists():
                return True
            self._fill(final, parts, make)
            return False

    @contextlib.contextmanager
    def _turn(self, final: Path) -> Iterator[None]:
        """Wait for whoever makes this entry, but not for a frozen process: its work is another's by then."""
        lock = self._lock(final)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=_LOOK)
            except Timeout:
                if _is_held_by_frozen(Path(lock.lock_file)):
                    break  # of two who make an entry, the first one's is kept
        try:
            yield
        finally:
            lock.release()

    def _lock(self, final: Path) -> FileLock:
        folder = self.root / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _explained(error, self.root) from error
        return FileLock(folder / f"{final.parent.name}-{final.name}.lock")

    def _fill(self, final: Path, parts: Mapping[str, Any], make: Callable[[Path], Any]) -> None:
        partial = self.root / "partial" / f"{final.parent.name}-{final.name}-{uuid.uuid4().hex[:8]}"
        begin = time.monotonic()
        try:
            partial.mkdir(parents=True)
            info = make(partial) or {}
            record = {"parts": parts, "info": info, "seconds": time.monotonic() - begin}
            record["sha256"] = tree_hash(partial)
            (partial / "entry.json").write_text(json.dumps(record, indent=1, default=str))
            _sync(partial)
            final.parent.mkdir(parents=True, exist_ok=True)
            _publish(partial, final)
            _sync_one(final.parent)
        except OSError as error:
            raise _explained(error, self.root) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _is_held_by_frozen(file: Path) -> bool:
    with contextlib.suppress(OSError):
        return all_frozen(file.stat().st_ino)
    return False


def _used(entry: Path) -> dict[str, Any]:
    """Return an entry's description, and leave a mark of the time: what is not used goes first."""
    with contextlib.suppress(OSError):  # a cache that can only be read serves as well
        os.utime(entry)
    stored: dict[str, Any] = json.loads(entry.read_text())
    return stored


def _sync(folder: Path) -> None:
    """Put a directory's files on the disk: a rename may survive a power cut that their content does not."""
    for path in [*folder.rglob("*"), folder]:
        _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(partial: Path, final: Path) -> None:
    try:
        partial.rename(final)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise  # else: somebody made the same entry meanwhile, and theirs is as good


def _explained(error: OSError, root: Path) -> TunerError:
    if error.errno == errno.ENOSPC:
        return JobError(
            "disk-full", f"no space left under {root}; free some or set TUNER_HOME to another disk"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return TunerError(
            f"{root}: cannot be written ({error.strerror}); set TUNER_HOME to a directory of yours"
        )
    return TunerError(f"{error.filename or root}: {error.strerror or error}")


def digest(parts: Mapping[str, Any]) -> str:
    """Return 24 hex digits of the SHA-256 of the parts' canonical JSON."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tree_hash(path: Path) -> str:
    """Return one hash of a file, or of all files (names and content) below a directory."""
    if path.is_file():
        return file_hash(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return digest({str(p.relative_to(path)): file_hash(p) for p in files})


@memoize
def code_hash(*modules: str) -> str:
    """Return a hash of the source of modules or whole packages: a stage whose code changed is another stage."""
    found = {name: importlib.util.find_spec(name) for name in modules}
    return digest(
        {name: _source_hash(Path(spec.origin)) for name, spec in found.items() if spec and spec.origin}
    )


def _source_hash(origin: Path) -> str:
    if origin.name != "__init__.py":
        return file_hash(origin)
    files = sorted(origin.parent.rglob("*.py"))
    return digest({str(file.relative_to(origin.parent)): file_hash(file) for file in files})


@memoize
def installed(*distributions: str) -> dict[str, str | None]:
    """Return the versions of those of these distributions that are installed, None for the others."""
    return {name: _version(name) for name in distributions}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@memoize
def versions(*distributions: str) -> dict[str, str]:
    """Return the installed versions of these distributions, for a key."""
    return {name: importlib.metadata.version(name) for name in distributions}
