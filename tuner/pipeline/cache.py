"""Cache: every stage's output under the hash of everything it depends on.

Layout: `root/KIND/KEY/` holds the stage's files and `entry.json` (key parts, seconds, what the stage reported).
A directory appears by one rename, so a crash leaves a whole entry or none.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import importlib.util
import json
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache as memoize
from pathlib import Path
from typing import Any

from tuner.errors import JobError, TunerError


@dataclass(frozen=True)
class Entry:
    """One cached output: where it lies, whether it was there already, and what making it took."""

    kind: str
    key: str
    path: Path
    hit: bool
    seconds: float  # of this call; a hit costs next to nothing
    info: dict[str, Any] = field(default_factory=dict)


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
            self._fill(final, parts, make)
        stored = json.loads((final / "entry.json").read_text())
        return Entry(kind, key, final, hit, time.monotonic() - begin, stored["info"])

    def _fill(self, final: Path, parts: Mapping[str, Any], make: Callable[[Path], Any]) -> None:
        partial = self.root / "partial" / f"{final.parent.name}-{final.name}-{uuid.uuid4().hex[:8]}"
        begin = time.monotonic()
        try:
            partial.mkdir(parents=True)
            info = make(partial) or {}
            record = {"parts": parts, "info": info, "seconds": time.monotonic() - begin}
            (partial / "entry.json").write_text(json.dumps(record, indent=1, default=str))
            final.parent.mkdir(parents=True, exist_ok=True)
            _publish(partial, final)
        except OSError as error:
            raise _explained(error, self.root) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what an earlier run that was killed left half-made."""
        shutil.rmtree(self.root / "partial", ignore_errors=True)


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
    return digest({file.name: file_hash(file) for file in sorted(origin.parent.glob("*.py"))})


@memoize
def versions(*distributions: str) -> dict[str, str]:
    """Return the installed versions of these distributions, for a key."""
    return {name: importlib.metadata.version(name) for name in distributions}
