"""Files: CSV, JSON lines, Parquet, and a tree with one folder a class (or of mere texts), read into a Table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuner.errors import InputError
from tuner.spec.model import DataSpec
from tuner.tasks.table import Row, Table, cell_text, rows_of, wanted_columns

ENDINGS = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_TEXT_ENDINGS = {".txt", ".text", ".md", ""}


def read_files(path: Path, data: DataSpec) -> Table:
    """Read a file or folder in the format that the study names, or that its ending tells.

    Raises:
        InputError: unreadable, of an unknown kind, without the named columns, or not of its format.
    """
    kind = _kind(path, data)
    try:
        return _READERS[kind](path, data)
    except OSError as error:
        raise InputError(f"data.source: {path}: {error.strerror or error}") from None


def _kind(path: Path, data: DataSpec) -> str:
    if path.is_dir():
        if data.format not in ("auto", "folder"):
            raise InputError(f"data.source: {path} is a folder, not a {data.format} file")
        return "folder"
    kind = ENDINGS.get(path.suffix.lower()) if data.format == "auto" else data.format
    if kind is None:
        raise InputError(
            f"data.format: cannot tell the format of {path.name}; name one of csv, jsonl, parquet"
        )
    if kind == "folder":
        raise InputError(f"data.source: {path} is a file, not a folder with one folder a class")
    return kind


def _csv(path: Path, data: DataSpec) -> Table:
    csv.field_size_limit(2**31 - 1)
    text, not_utf8 = _decoded(path)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise InputError(f"data.source: {path.name} is empty")
        cells, lines = _csv_rows(reader, len(header), path)
    except csv.Error as error:
        raise InputError(f"data.source: {path.name}:{reader.line_num}: not CSV: {error}") from None
    columns = {name.strip(): [row[i] for row in cells] for i, name in enumerate(header)}
    return Table(rows_of(columns, data, path.name, lines), not_utf8=not_utf8)


def _csv_rows(reader: Any, width: int, path: Path) -> tuple[list[list[str]], list[int]]:
    cells, lines, line = [], [], reader.line_num + 1
    for row in reader:
        if row and len(row) != width:
            raise InputError(
                f"data.source: {path.name}:{line}: {len(row)} cells where the header has {width}"
            )
        if row:
            cells.append(row)
            lines.append(line)
        line = reader.line_num + 1
    return cells, lines


def _jsonl(path: Path, data: DataSpec) -> Table:
    text, not_utf8 = _decoded(path)
    records, lines = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            records.append(_json_object(line, f"{path.name}:{number}"))
            lines.append(number)
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: [record.get(name) for record in records] for name in names}
    return Table(rows_of(columns, data, path.name, lines) if records else [], not_utf8=not_utf8)


def _json_object(line: str, at: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"data.source: {at}: not JSON: {error}") from None
    if not isinstance(record, dict):
        raise InputError(f"data.source: {at}: not a JSON object with the columns as keys")
    return record


def _parquet(path: Path, data: DataSpec) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise InputError(f"data.source: {path.name}: not Parquet: {str(error).splitlines()[0]}") from None
    wanted = wanted_columns(data)
    columns = {n: table[n].to_pylist() if n in wanted else [] for n in table.column_names}
    return Table(rows_of(columns, data, path.name, range(1, table.num_rows + 1)))


def _folder(path: Path, data: DataSpec) -> Table:
    if data.split.column:
        raise InputError("data.split.column: a class-per-folder tree has no columns")
    table = Table()
    if data.label is None:
        _read_class(path, "", table)
        return table
    classes = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))
    if not classes:
        raise InputError(
            f"data.source: {path} has no folders; a tree has one folder a class, one file a document"
        )
    for folder in classes:
        _read_class(folder, folder.name, table)
    table.label_order = [folder.name for folder in classes]
    return table


def _read_class(folder: Path, label: str, table: Table) -> None:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix.lower() in _TEXT_ENDINGS and not file.name.startswith("."):
            text, not_utf8 = _decoded(file)
            table.not_utf8 += not_utf8
            table.rows.append(Row(cell_text(text), label, None, f"{folder.name}/{file.name}"))


def _decoded(path: Path) -> tuple[str, int]:
    """Return a file's text, and 1 if it was not UTF-8 but read as Windows-1252."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig"), 0
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace"), 1


_READERS: dict[str, Callable[[Path, DataSpec], Table]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "folder": _folder,
}
