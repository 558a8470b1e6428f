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
    ".gguf",
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
    return _download(found, _MODEL_FILES)


def locate_language_model(source: str, base: Path | None = None) -> Path:
    """Return the folder of a language model, or a GGUF file; a Hub model is downloaded, once.

    From the Hub come safetensors and text files, or, where there are none, the repository's one GGUF file.

    Raises:
        InputError: there is no such folder, file or package, the Hub cannot be reached, or it has several GGUFs.
    """
    found = resolve(source, base)
    if isinstance(found, HubId):
        return _download(found, _language_files(found))
    gguf_file(found)
    return found


def gguf_file(path: Path) -> Path | None:
    """Return the GGUF file that is meant by a path, None for a folder of another kind.

    Raises:
        InputError: a file that is no GGUF, or a folder with several of them and no safetensors.
    """
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise InputError(f"{path}: is a file; a model is a folder with config.json, or a .gguf file")
        return path
    if (path / "config.json").is_file():
        return None
    found = sorted(p for p in path.iterdir() if p.suffix.lower() == ".gguf")
    if len(found) > 1:
        raise InputError(f"{path} has {len(found)} GGUF files: name one of them, such as {found[0].name}")
    return found[0] if found else None


def hub_error(hub: HubId, kind: str, error: Exception) -> InputError:
    """Return the one clear line for a Hub repository that could not be read."""
    cause = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
    return InputError(
        f"{hub}: no local folder of that name, and not to be had from the Hub as a {kind} ({cause})"
    )


def _language_files(hub: HubId) -> list[str]:
    """Return the patterns of what to fetch of a Hub repository; the cache answers where there is no network."""
    from huggingface_hub import HfApi

    try:
        names = HfApi().list_repo_files(hub.id, revision=hub.revision)
    except Exception:  # `_download` says what is wrong, or finds all in the cache
        return [*_MODEL_FILES, "*.gguf"]
    packed = [name for name in names if name.lower().endswith(".gguf")]
    if any(name.endswith(".safetensors") for name in names) or not packed:
        return _MODEL_FILES
    if len(packed) > 1:
        raise InputError(
            f"{hub} has {len(packed)} GGUF files: download one (hf download {hub.id} {packed[0]}) and name its path"
        )
    return packed


def _download(hub: HubId, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub.id, revision=hub.revision, allow_patterns=patterns))
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
