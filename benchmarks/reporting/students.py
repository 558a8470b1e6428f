"""The students' table: cut from the teacher, or from a larger student that has learnt already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.reporting.markdown import table, where


def students(found: Mapping[str, Any]) -> str:
    """Return a line for each shape and number of steps, both starts beside each other."""
    head = ["student", "most steps", "from the teacher", "", "from the larger student", ""]
    rows: dict[tuple[Any, ...], dict[bool, Mapping[str, Any]]] = {}
    for one in found["students"]:
        shape = (one["layers"], one["heads"], one["ffn"], one["steps"])
        rows.setdefault(shape, {})[one["start"] is not None] = one
    lines = [_line(shape, pair) for shape, pair in rows.items()]
    return f"{table(head, lines)}\n\n{where(found['recorded'])}"


def _line(shape: tuple[Any, ...], pair: Mapping[bool, Mapping[str, Any]]) -> list[str]:
    layers, heads, ffn, steps = shape
    name = f"{layers} layer{'s'[: layers != 1]}, {heads:.0%} of heads and {ffn:.0%} of FFN cut"
    return [name, str(steps), *_cells(pair.get(False)), *_cells(pair.get(True))]


def _cells(one: Mapping[str, Any] | None) -> list[str]:
    return ["–", "–"] if one is None else [f"{one['accuracy']:.1%}", f"{one['seconds']:.0f} s"]
