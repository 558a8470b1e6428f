"""Table: rows of text, label and split as they stand in the data, before anything is cleaned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuner.errors import InputError
from tuner.spec.model import DataSpec
from tuner.spec.nearest import did_you_mean


@dataclass(frozen=True)
class Row:
    """One document as found, its label empty where the data has none. `at` names its place (`reviews.csv:12`)."""

    text: str
    label: str
    split: str | None
    at: str


@dataclass
class Table:
    """All rows; `label_order` where the data itself declares one; how many files were not UTF-8."""

    rows: list[Row] = field(default_factory=list)
    label_order: list[str] | None = None
    not_utf8: int = 0


def wanted_columns(data: DataSpec) -> set[str]:
    """Return the names of the columns that a study reads."""
    return {name for name in (data.text, data.label, data.split.column) if name is not None}


def rows_of(
    columns: Mapping[str, Sequence[Any]], data: DataSpec, name: str, places: Iterable[int]
) -> list[Row]:
    """Return the rows of a table given by its columns; `places` are their line (or row) numbers.

    Raises:
        InputError: a named column is not there, or a row has no label.
    """
    texts = _column(columns, data.text, "data.text", name)
    no_labels = [None] * len(texts)
    labels = no_labels if data.label is None else _column(columns, data.label, "data.label", name)
    column = data.split.column
    splits = _column(columns, column, "data.split.column", name) if column else [None] * len(texts)
    cells = zip(texts, labels, splits, places, strict=False)
    rows = [Row(cell_text(t), cell_text(y), cell_text(s) or None, f"{name}:{n}") for t, y, s, n in cells]
    unlabelled = [row for row in rows if not row.label.strip()]
    if unlabelled and data.label is not None:
        where = f"{len(unlabelled)} of {len(rows)} rows have no label (the first: {unlabelled[0].at})"
        raise InputError(f"data.label: {where}; fill in column {data.label!r} or remove these rows")
    return rows


def cell_text(value: Any) -> str:
    """Return a cell as text: a missing one is empty, and 1.0 is the label 1."""
    if value is None or value != value:  # NaN is not equal to itself
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    return (
        text if text.isascii() else text.encode("utf-8", "replace").decode()
    )  # JSON may hold half characters


def _column(columns: Mapping[str, Sequence[Any]], column: str, key: str, name: str) -> Sequence[Any]:
    if column not in columns:
        raise InputError(f"{key}: {name} has no column {column!r}{did_you_mean(column, columns)}")
    return columns[column]
