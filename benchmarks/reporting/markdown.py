"""Markdown: tables, and numbers as a person writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def clock(seconds: float | None) -> str:
    """Return seconds as `45 s` or `12.5 min`, `never` where there are none."""
    if seconds is None:
        return "never"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def where(host: Mapping[str, Any], when: str | None = None) -> str:
    """Return one line that says where figures are from."""
    known = {name: v for name, v in host.get("versions", {}).items() if v is not None}
    versions = ", ".join(f"{name} {version}" for name, version in known.items())
    day = f"{when}; " if when else ""
    return f"_{day}{host['cpu']}, {len(host['cores'])} cores; {versions}._"
