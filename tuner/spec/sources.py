"""Sources: where a model or data set of a study lies: in a package, a local folder, or on the Hub."""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

from tuner.errors import InputError
from tuner.spec.nearest import did_you_mean

PACKAGE = "pkg://"
_HUB = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w./-]+)?$")
_LOCAL_ENDINGS = {
    ".csv",
    ".tsv",
    ".jsonl",
    ".ndjson",
    ".json",
    ".parquet",
    ".txt",
    ".safetensors",
    ".yaml",
    ".yml",
}
_MODEL_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model"]


@dataclass(frozen=True)
class HubId:
    """A repository of the Hugging Face Hub, at a revision if one is given (`owner/name@revision`)."""

    id: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.id}@{self.revision}" if self.revision else self.id


def resolve(source: str, base: Path | None = None) -> Path | HubId:
    """Return the existing path that `source` names, or else its Hub id; nothing is downloaded.

    `pkg://package/path` is a path inside an installed package, found without importing it. Anything else is
    a path, relative to `base` (the study file's folder), and where there is none of that name but it has the
    form of one, a Hub id.

    Raises:
        InputError: the package is not installed, or the path does not exist.
    """
    if source.startswith(PACKAGE):
        return _in_package(source)
    path = Path(os.path.expanduser(source))  # noqa: PTH111  (Path's own raises for a user who is not there)
    path = path if path.is_absolute() else (base or Path()) / path
    if path.exists():
        return path.resolve()
    is_path = source.startswith((".", "/", "~")) or path.suffix.lower() in _LOCAL_ENDINGS
    if is_path or not _HUB.match(source):
        raise InputError(f"{source}: no such file or folder{_beside(path)}")
    name, _, revision = source.partition("@")
    return HubId(name, revision or None)


def locate_model(source: str, base: Path | None = None) -> Path:
    """Return the model's folder; a Hub model is downloaded (safetensors and text files only), once.

    Raises:
        InputError: there is no such folder or package, or the Hub cannot be reached or does not have it.
    """
    found = resolve(source, base)
    if isinstance(found, Path):
        if not found.is_dir():
            raise InputError(
                f"{source}: is a file; a model is a folder with config.json and model.safetensors"
            )
        return found
    return _download(found)


def hub_error(hub: HubId, kind: str, error: Exception) -> InputError:
    """Return the one clear line for a Hub repository that could not be read."""
    cause = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
    return InputError(
        f"{hub}: no local folder of that name, and not to be had from the Hub as a {kind} ({cause})"
    )


def _download(hub: HubId) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub.id, revision=hub.revision, allow_patterns=_MODEL_FILES))
    except Exception as error:  # offline, missing, gated: the Hub's client has a dozen classes for it
        raise hub_error(hub, "model", error) from error


def _in_package(source: str) -> Path:
    package, _, inner = source.removeprefix(PACKAGE).partition("/")
    root = _package_root(package, source)
    path = (root / inner).resolve()
    if not path.is_relative_to(root.resolve()):
        raise InputError(f"{source}: leads out of the package {package!r}")
    if not path.exists():
        raise InputError(f"{source}: the package {package!r} has no {inner!r}{_beside(path)}")
    return path


def _package_root(package: str, source: str) -> Path:
    if not package.isidentifier():
        raise InputError(f"{source}: write pkg://PACKAGE/PATH with the name that Python imports")
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.submodule_search_locations:
        raise InputError(f"{source}: the package {package!r} is not installed; install it with pip")
    return Path(next(iter(found.submodule_search_locations)))


def _beside(path: Path) -> str:
    if not path.parent.is_dir():
        return f" ({path.parent} does not exist either)"
    hint = did_you_mean(path.name, (p.name for p in path.parent.iterdir()))
    return hint if hint.startswith(" (did") else ""
