"""What a peer handed back, as artefacts that our serving child loads: its files as they are, a session that fits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SESSIONS = Path(__file__).parent / "sessions"
#: By the manifest's kind: the sessions of `sessions/`, copied into the artefact, and one of our own runtime.
_OF_KIND = {
    "onnx": "peer_onnx",
    "openvino": "peer_openvino",
    "torch-compile": "peer_torch",
    "aoti": "torch_compile_session",
}


@dataclass(frozen=True)
class Subject:
    """One artefact to measure; `own` is what its maker says of it (accuracy as a share, latency in ms)."""

    peer: str
    label: str
    artefact: Path
    threads: int
    replicas: int
    own: Mapping[str, float]


@dataclass(frozen=True)
class HandedBack:
    """What came back from one peer; `failures` are variants that it tried in vain: {label, error}."""

    subjects: list[Subject]
    failures: list[dict[str, str]]


def handed_back(peer: str, out: Path, folder: Path, cores: int) -> HandedBack:
    """Read a peer's manifest, and describe its artefacts anew in `folder`, one subfolder each."""
    shutil.rmtree(folder, ignore_errors=True)
    if not (out / "manifest.json").exists():
        return HandedBack([], [])
    manifest = json.loads((out / "manifest.json").read_text())
    subjects = [
        _subject(peer, out, folder / str(i), one, cores) for i, one in enumerate(manifest["artefacts"])
    ]
    return HandedBack(subjects, manifest["failures"])


def _subject(peer: str, out: Path, folder: Path, said: Mapping[str, Any], cores: int) -> Subject:
    session = _OF_KIND[said["kind"]]
    described = {
        "engine": peer,
        "session": session,
        "model": str((out / said["file"]).resolve()),
        "inputs": ["input_ids", "attention_mask"],
        "fixed_shape": said.get("fixed_shape"),
        "settings": said.get("settings", {}),
    }
    folder.mkdir(parents=True)
    (folder / "artefact.json").write_text(json.dumps(described, indent=1) + "\n")
    if (own := _SESSIONS / f"{session}.py").exists():
        shutil.copyfile(own, folder / own.name)
    claims = {name: float(said[name]) for name in ("accuracy", "latency_ms") if name in said}
    return Subject(peer, said["label"], folder, int(said.get("threads", cores)), 1, claims)
