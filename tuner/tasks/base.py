"""Task: the interface of what "good" means: documents, encoded inputs, and the quality of an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tuner.metrics import Estimate
from tuner.spec.model import StudySpec
from tuner.tasks.documents import Documents


class Task(Protocol):
    """A module or object with these functions is a task. None of them needs torch."""

    def documents(self, spec: StudySpec) -> Documents:
        """Read, clean and split the data."""
        ...

    def train_tokenizer(self, documents: Documents, spec: StudySpec, out: Path) -> dict[str, Any]:
        """Write a tokenizer folder learnt from the train split."""
        ...

    def encode(self, documents: Documents, tokenizer: Path, spec: StudySpec, out: Path) -> dict[str, Any]:
        """Write `train.npz`, `validation.npz`, `test.npz` and `meta.json`."""
        ...

    def data_key(self, spec: StudySpec) -> dict[str, Any]:
        """Return what the documents depend on, for a cache key."""
        ...

    def evaluate(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, Estimate]:
        """Return every quality metric of the task with its 95 % interval."""
        ...
