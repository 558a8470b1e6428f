"""Journal: what was recorded so far, one JSON line each, on the disk before the next candidate begins."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Journal:
    """An append-only file of rows with an `id` each; a line that a crash cut off is dropped when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.rows = _whole_lines(path)
        self._ids = {row["id"] for row in self.rows}

    def __contains__(self, identity: object) -> bool:
        return identity in self._ids

    def add(self, row: dict[str, Any]) -> None:
        """Append a row and wait until the disk has it."""
        with self.path.open("a") as stream:
            stream.write(json.dumps(row, separators=(",", ":")) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.rows.append(row)
        self._ids.add(row["id"])


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a journal, and cut off what follows the last whole line."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as stream:
            stream.truncate(len(whole))
    return [json.loads(line) for line in whole.splitlines()]
