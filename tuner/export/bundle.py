"""Write a bundle: an artefact with all it needs to answer a question, and the numbers it was chosen for.

Layout: `artefact/`, `tokenizer.json`, `labels.json`, `bundle.json` (padding, length, threads), `runtime/`
(the serving code that was measured), `predict.py`, `requirements.txt`, `config.yaml` (the candidate),
`report.json`, `README.md`, `MANIFEST.sha256`.
"""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import tuner.runtime
from tuner.candidate import Candidate
from tuner.errors import InputError, TunerError
from tuner.export.manifest import write_manifest
from tuner.export.readme import readme

_PREDICT = '''"""Classify texts: python predict.py "a text", or one text a line on stdin."""

import sys
from pathlib import Path

from runtime.predict import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
'''
_ALWAYS = ("__init__.py", "loader.py", "padding.py", "predict.py")


@dataclass(frozen=True)
class BundleContent:
    """What goes into a bundle. `report` is JSON-able: study, trial, host, metrics with their intervals."""

    artefact: Path
    tokenizer: Path
    labels: list[str]
    pad_token_id: int
    batch: int  # texts of a call, as it was judged
    candidate: Candidate
    report: Mapping[str, Any]
    tokenizers_version: str


def write_bundle(content: BundleContent, target: Path) -> Path:
    """Write the bundle to `target`, which must not exist or be empty; it appears whole or not at all.

    Raises:
        InputError: the target is not empty or cannot be written.
        TunerError: the disk is full.
    """
    check_target(target)
    whole = target.resolve()
    partial = whole.parent / f".{whole.name}-{uuid.uuid4().hex[:8]}"
    try:
        partial.mkdir(parents=True)
        _fill(content, partial)
        write_manifest(partial)
        if whole.exists():
            whole.rmdir()
        partial.rename(whole)
    except OSError as error:
        raise _explained(error, target) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def check_target(target: Path) -> None:
    """Refuse a target that cannot take a bundle, before anything is built for it.

    Raises:
        InputError: it is not empty, no directory, or cannot be written.
    """
    try:
        if target.exists() and not target.is_dir():
            raise InputError(f"{target}: is a file; name a new directory")
        if target.is_dir() and any(target.iterdir()):
            raise InputError(f"{target}: is not empty; name a new directory")
    except OSError as error:
        raise _explained(error, target) from None
    nearest = next(folder for folder in target.resolve().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        why = "no write permission" if nearest.is_dir() else "is a file"
        raise InputError(f"{target}: cannot be written: {nearest}: {why}")


def _fill(content: BundleContent, out: Path) -> None:
    described = json.loads((content.artefact / "artefact.json").read_text())
    _copy_files(content.artefact, out / "artefact")
    shutil.copyfile(content.tokenizer / "tokenizer.json", out / "tokenizer.json")
    _copy_runtime(described["session"], out / "runtime")
    (out / "predict.py").write_text(_PREDICT)
    (out / "bundle.json").write_text(json.dumps(_bundle(content, described), indent=1) + "\n")
    (out / "config.yaml").write_text(yaml.safe_dump(content.candidate.canonical(), sort_keys=False))
    (out / "report.json").write_text(json.dumps(content.report, indent=1, default=str) + "\n")
    (out / "labels.json").write_text(json.dumps(content.labels, ensure_ascii=False) + "\n")
    (out / "requirements.txt").write_text("\n".join(_requirements(content, described)) + "\n")
    (out / "README.md").write_text(readme(content.candidate, content.report, content.labels))


def _copy_files(source: Path, out: Path) -> None:
    """Copy a directory file by file: `shutil.copytree` hides a full disk in a list of texts."""
    for path in sorted(p for p in source.rglob("*") if p.is_file() and p.name != "entry.json"):
        copy = out / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _requirements(content: BundleContent, described: Mapping[str, Any]) -> list[str]:
    """Return the exact pins that predict.py needs: the engine's, tokenizers, and numpy."""
    pins = {pin.partition("==")[0].lower(): pin for pin in described["requirements"]}
    pins.setdefault("tokenizers", f"tokenizers=={content.tokenizers_version}")
    pins.setdefault("numpy", f"numpy=={importlib.metadata.version('numpy')}")
    return sorted(pins.values())


def _bundle(content: BundleContent, described: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "pad_token_id": content.pad_token_id,
        "max_length": described["max_length"],
        "threads": content.candidate.parallel.threads,
        "batch": content.batch,
    }


def _copy_runtime(session: str, out: Path) -> None:
    """Copy the serving code, our sessions only as far as this artefact needs them."""
    source = Path(tuner.runtime.__file__).parent
    wanted = [*_ALWAYS, f"{session}.py", *(["shaped.py"] if session == "torch_session" else [])]
    out.mkdir()
    for name in wanted:
        if (source / name).exists():  # a third-party session travels inside its artefact
            shutil.copyfile(source / name, out / name)


def _explained(error: OSError, target: Path) -> TunerError:
    if error.errno == errno.ENOSPC:
        return TunerError(f"{target}: no space left on the disk; nothing was written")
    return InputError(f"{target}: cannot be written: {error.strerror or error}")
