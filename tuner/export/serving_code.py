"""The serving code that a bundle carries: modules of tuner/runtime with all that they import of it."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterable
from pathlib import Path

import tuner.runtime

_SOURCE = Path(tuner.runtime.__file__).parent


def copy_runtime(modules: Iterable[str], out: Path) -> None:
    """Copy the modules, and what they import by relative imports, to a new directory.

    A name that is none of ours is left out: a third-party session travels inside its artefact.
    """
    out.mkdir()
    for name in ["__init__", *sorted(with_imports(modules))]:
        shutil.copyfile(_SOURCE / f"{name}.py", out / f"{name}.py")


def with_imports(modules: Iterable[str]) -> set[str]:
    """Return the modules of the runtime among these, and all that they import of it."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and (_SOURCE / f"{name}.py").exists():
            found.add(name)
            waiting += _imported(_SOURCE / f"{name}.py")
    return found


def _imported(file: Path) -> list[str]:
    nodes = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.ImportFrom) and n.level]
    return [name for n in nodes for name in ([n.module] if n.module else [alias.name for alias in n.names])]
