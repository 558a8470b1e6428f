"""Rows: token sequences to be scored, and which of their tokens count, as one padded file a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

#: What a row is: a window of running text, or one option of a multiple-choice question.
TEXT, OPTION = 0, 1


@dataclass(frozen=True)
class Row:
    """Token `ids` of which those from index `first` on count, each given all before it."""

    ids: Sequence[int]
    first: int
    kind: int = TEXT
    question: int = -1
    option: int = -1
    group: int = -1


@dataclass(frozen=True)
class Rows:
    """A file of rows. int64: `input_ids`, `attention_mask` (rows, longest), padded on the right; the others (rows,).

    `answer` (questions,): the right option of each multiple-choice question.
    """

    input_ids: np.ndarray
    attention_mask: np.ndarray
    first: np.ndarray
    kind: np.ndarray
    question: np.ndarray
    option: np.ndarray
    group: np.ndarray
    answer: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Row], answers: Sequence[int], pad: int) -> Rows:
        """Return the rows padded to the longest."""
        ids, mask = padded([row.ids for row in rows], pad)
        marks = {name: _column(rows, name) for name in ("first", "kind", "question", "option", "group")}
        return cls(ids, mask, **marks, answer=np.array(answers, dtype=np.int64))

    @classmethod
    def load(cls, file: Path) -> Rows:
        """Read what `save` wrote."""
        with np.load(file) as arrays:
            return cls(**{name.name: arrays[name.name] for name in fields(cls)})

    def save(self, file: Path) -> None:
        """Write all arrays as an .npz."""
        np.savez(file, allow_pickle=False, **{name.name: getattr(self, name.name) for name in fields(self)})

    def counted(self) -> np.ndarray:
        """Return bool (rows, longest - 1): whether the score at this place, that of the next token, counts."""
        place = np.arange(1, self.input_ids.shape[1])
        return (place >= self.first[:, None]) & (self.attention_mask[:, 1:] == 1)


def _column(rows: Sequence[Row], name: str) -> np.ndarray:
    return np.array([getattr(row, name) for row in rows], dtype=np.int64)


def padded(sequences: Sequence[Sequence[int]], pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 ids and mask (sequences, longest), padded on the right."""
    ids = np.full((len(sequences), max(map(len, sequences))), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for i, sequence in enumerate(sequences):
        ids[i, : len(sequence)] = sequence
        mask[i, : len(sequence)] = 1
    return ids, mask
