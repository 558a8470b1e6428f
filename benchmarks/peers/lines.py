"""Lines of configuration that a user wrote: those that say something; blank ones, comments and docstrings left out."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable
from pathlib import Path

_SILENT = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)


def configuration_lines(files: Iterable[Path]) -> int:
    """Return the lines of these files together: Python, JSON, YAML, or plain lists with `#` comments."""
    return sum(
        _python(file.read_text()) if file.suffix == ".py" else _plain(file.read_text()) for file in files
    )


def written_by_user(folder: Path) -> list[Path]:
    """Return what a user of a peer writes: its script and its configuration, not the list of packages."""
    return sorted(p for p in folder.iterdir() if p.suffix in (".py", ".json", ".yaml"))


def _plain(text: str) -> int:
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines())


def _python(text: str) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    said = {n for t in tokens if t.type not in _SILENT for n in range(t.start[0], t.end[0] + 1)}
    return len(said - _docstrings(text))


def _docstrings(text: str) -> set[int]:
    """Return the lines of all docstrings."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first = [n.body[0] for n in ast.walk(ast.parse(text)) if isinstance(n, owners) and ast.get_docstring(n)]
    return {line for node in first for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
