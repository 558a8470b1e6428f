"""Load an artefact's session: the one way in, for the tuner's measurements and for a bundle alike."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from .split import Split


def load_session(directory: Path, threads: int, split: Split | None = None) -> Any:
    """Return the artefact's session, running on so many threads, in each of several processes where it is `split`.

    A session has `inputs` (names), `fixed_shape` (batch, sequence) or None, and
    `run({name: int64 (batch, sequence)}) -> float32 (batch, labels)`.
    """
    directory = Path(directory)
    if split is not None and split.ranks > 1:
        return importlib.import_module(".split_session", __package__).load(directory, threads, split)
    described = json.loads((directory / "artefact.json").read_text())
    return _module(directory, described["session"]).load(directory, threads)


def _module(directory: Path, name: str) -> ModuleType:
    """Return the artefact's own `NAME.py` where it brings one (third-party engines), else ours.

    Its source is what runs, and nothing is written beside it: an artefact is known by its content, and bytecode kept
    there would stand for any source of the same length and second, unseen by a bundle's manifest.
    """
    own = directory / f"{name}.py"
    if not own.exists():
        return importlib.import_module(f".{name}", __package__)
    module = ModuleType(f"artefact_{name}")
    module.__file__ = str(own)
    exec(compile(own.read_bytes(), own, "exec"), module.__dict__)
    return module
