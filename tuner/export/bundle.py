"""Write a bundle: an artefact with all it needs to answer a question, and the numbers it was chosen for.

Layout: `artefact/`, `tokenizer.json`, `bundle.json` (kind, threads, replicas, and what the kind's program must know),
`runtime/` (the serving code that was measured), the kind's program (`predict.py`, `chat.py`), `requirements.txt`,
`config.yaml` (the candidate), `report.json`, `README.md`, `MANIFEST.sha256`. A classifier has `labels.json`; a chat
bundle `check.json` (greedy answers at export) and the checkpoint's tokenizer_config.json, chat_template.jinja and
generation_config.json.
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

from tuner.candidate import Candidate
from tuner.errors import InputError, TunerError
from tuner.export.kinds import Kind
from tuner.export.manifest import write_manifest
from tuner.export.readme import readme
from tuner.export.serving_code import copy_runtime
from tuner.runtime.split import MODULES


@dataclass(frozen=True)
class BundleContent:
    """What goes into a bundle. `report` is JSON-able: study, trial, host, metrics with their intervals.

    `facts` go into bundle.json, `more` are further JSON files by name; `subject` says in the README what it is.
    """

    kind: Kind
    artefact: Path
    tokenizer: Path
    candidate: Candidate
    report: Mapping[str, Any]
    subject: str
    facts: Mapping[str, Any]
    more: Mapping[str, Any]


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
    kind = content.kind
    described = json.loads((content.artefact / "artefact.json").read_text())
    _copy_files(content.artefact, out / "artefact")
    for name in ("tokenizer.json", *(n for n in kind.files if (content.tokenizer / n).exists())):
        shutil.copyfile(content.tokenizer / name, out / name)
    divided = MODULES if content.candidate.parallel.ranks > 1 else ()
    copy_runtime([*kind.modules, described["session"], *divided], out / "runtime")
    (out / kind.script).write_text(kind.source())
    run = {**content.candidate.parallel.model_dump(mode="json"), "draft": content.candidate.backend.draft}
    facts = {"kind": kind.name, **run, **content.facts}
    for name, data in {"bundle.json": facts, "report.json": content.report, **content.more}.items():
        (out / name).write_text(json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n", "utf-8")
    (out / "config.yaml").write_text(yaml.safe_dump(content.candidate.canonical(), sort_keys=False))
    (out / "requirements.txt").write_text("\n".join(_requirements(kind, described)) + "\n")
    (out / "README.md").write_text(readme(content.candidate, content.report, content.subject, kind), "utf-8")


def _copy_files(source: Path, out: Path) -> None:
    """Copy a directory file by file: `shutil.copytree` hides a full disk in a list of texts.

    What the manifest would not list stays behind: bytecode, and the cache's own note.
    """
    left = {"entry.json", "__pycache__"}
    names = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
    for name in sorted(name for name in names if not left & set(name.parts)):
        path, copy = source / name, out / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _requirements(kind: Kind, described: Mapping[str, Any]) -> list[str]:
    """Return the exact pins that the bundle's program needs: the engine's, and the kind's own."""
    pins = {pin.partition("==")[0].lower(): pin for pin in described["requirements"]}
    for name in kind.requirements:
        pins.setdefault(name, f"{name}=={importlib.metadata.version(name)}")
    return sorted(pins.values())


def _explained(error: OSError, target: Path) -> TunerError:
    if error.errno == errno.ENOSPC:
        return TunerError(f"{target}: no space left on the disk; nothing was written")
    return InputError(f"{target}: cannot be written: {error.strerror or error}")
