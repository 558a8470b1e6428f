"""Documents: text in three splits, labelled or not, as plain data that can be written to a folder and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Texts and, at the same positions, the index of each one's label (-1: the data has no labels)."""

    texts: list[str]
    labels: list[int]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Documents:
    """Three splits, the names of the labels (there may be none), and `counts` of what was read and left out.

    `counts`: `read`, `empty` (no text), `duplicates` (the text again), `conflicting` (one text, two labels),
    `not_utf8` (read as Windows-1252), `other_classes`, `beyond_limit`.
    """

    labels: list[str]
    splits: Mapping[str, Split]
    counts: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, split: str) -> Split:
        return self.splits[split]

    def summary(self) -> dict[str, int]:
        """Return the counts and the size of each split."""
        return {**self.counts, **{name: len(self.splits[name]) for name in SPLITS}}

    def save(self, folder: Path) -> dict[str, Any]:
        """Write `documents.json` and each split's `SPLIT_texts.jsonl` of {text, label}; return a summary.

        A text without a label has no such key.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name in SPLITS:
            with (folder / f"{name}_texts.jsonl").open("w", encoding="utf-8") as stream:
                for text, label in zip(self.splits[name].texts, self.splits[name].labels, strict=True):
                    named = {} if label < 0 else {"label": self.labels[label]}
                    stream.write(json.dumps({"text": text, **named}) + "\n")
        record: dict[str, Any] = {"labels": self.labels, "documents": self.summary()}
        (folder / "documents.json").write_text(json.dumps({**record, "counts": dict(self.counts)}, indent=1))
        return record

    @classmethod
    def load(cls, folder: Path) -> Documents:
        """Read what `save` wrote."""
        record = json.loads((folder / "documents.json").read_text())
        index = {label: i for i, label in enumerate(record["labels"])}
        return cls(record["labels"], {name: _read(folder, name, index) for name in SPLITS}, record["counts"])


def _read(folder: Path, name: str, index: Mapping[str, int]) -> Split:
    with (folder / f"{name}_texts.jsonl").open(encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    return Split(
        [row["text"] for row in rows], [index[row["label"]] if "label" in row else -1 for row in rows]
    )
