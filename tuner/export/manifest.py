"""MANIFEST.sha256: the hash of every file of a bundle, in the format of `sha256sum -c`."""

from __future__ import annotations

import hashlib
from pathlib import Path

NAME = "MANIFEST.sha256"
_IGNORED = {NAME, "__pycache__"}


def write_manifest(bundle: Path) -> None:
    """Write the manifest of all files below the bundle."""
    lines = [f"{_sha256(path)}  {path.relative_to(bundle).as_posix()}" for path in _files(bundle)]
    (bundle / NAME).write_text("\n".join(lines) + "\n")


def check_manifest(bundle: Path) -> list[str]:
    """Return what is wrong: files changed, missing or added since the manifest was written."""
    listed = {}
    for line in (bundle / NAME).read_text().splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    there = {path.relative_to(bundle).as_posix(): path for path in _files(bundle)}
    wrong = [f"{name}: missing" for name in sorted(listed.keys() - there.keys())]
    wrong += [f"{name}: not in the manifest" for name in sorted(there.keys() - listed.keys())]
    both = sorted(listed.keys() & there.keys())
    return wrong + [f"{name}: changed" for name in both if _sha256(there[name]) != listed[name]]


def _files(bundle: Path) -> list[Path]:
    return sorted(
        p for p in bundle.rglob("*") if p.is_file() and not _IGNORED & set(p.relative_to(bundle).parts)
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
