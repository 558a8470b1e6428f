"""Batches: encoded documents as tensors, shuffled and cut to the longest of each batch."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from pathlib import Path

import numpy as np
import torch

Batch = tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]


class Split:
    """One encoded split: int64 `inputs` (documents, tokens) by name, and `labels` (documents,).

    Running text has no labels: they are zeros then.
    """

    def __init__(self, data_dir: Path, name: str) -> None:
        with np.load(data_dir / f"{name}.npz") as stored:
            arrays = {key: torch.from_numpy(stored[key]) for key in stored.files}
        self.labels = arrays.pop("labels", torch.zeros(len(arrays["input_ids"]), dtype=torch.int64))
        self.inputs = arrays
        self.lengths = arrays["attention_mask"].sum(1)

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: torch.Tensor) -> Split:
        """Return these rows as a split of their own, numbered anew."""
        found = copy(self)
        found.labels, found.lengths = self.labels[rows], self.lengths[rows]
        found.inputs = {name: array[rows] for name, array in self.inputs.items()}
        return found

    def take(self, rows: torch.Tensor) -> Batch:
        """Return inputs (batch, longest of these), labels and row numbers (batch,)."""
        longest = int(self.lengths[rows].max())
        return {k: v[rows, :longest] for k, v in self.inputs.items()}, self.labels[rows], rows

    def in_order(self, size: int) -> Iterator[Batch]:
        """Yield every document once, as stored."""
        for rows in torch.arange(len(self)).split(size):
            yield self.take(rows)

    def shuffled(self, size: int, seed: int) -> Iterator[Batch]:
        """Yield batches for ever; each pass has its own order, and its incomplete last batch is kept."""
        generator = torch.Generator().manual_seed(seed)
        while True:
            for rows in torch.randperm(len(self), generator=generator).split(size):
                yield self.take(rows)

    def sample(self, count: int, seed: int) -> torch.Tensor:
        """Return the rows of a seeded sample, at most all, shortest first so that batches pad little."""
        rows = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))[:count]
        return rows[self.lengths[rows].argsort(stable=True)]
