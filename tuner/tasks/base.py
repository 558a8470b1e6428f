"""Task: what preparing a study asks of "what a model is for": its documents, and how they are encoded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tuner.spec.model import StudySpec
from tuner.tasks.documents import Documents


class Task(Protocol):
    """A module with these functions is a task. None of them needs torch.

    `__name__`: the module's, whose `documents_job` and `encode_job` do the same in a process of their own. How good a
    model is, each task says in terms of its own, by its `evaluate`.
    """

    __name__: str

    def documents(self, spec: StudySpec) -> Documents:
        """Read, clean and split the data."""
        ...

    def encode(self, documents: Documents, tokenizer: Path, spec: StudySpec, out: Path) -> dict[str, Any]:
        """Write the arrays that the stages read and `meta.json`, which is returned."""
        ...

    def data_key(self, spec: StudySpec) -> dict[str, Any]:
        """Return what the documents depend on, for a cache key."""
        ...

    def encode_key(self, spec: StudySpec) -> dict[str, Any]:
        """Return what the encoded data depends on beside documents and tokenizer, for a cache key."""
        ...

    def check_max_length(self, config: Mapping[str, Any], max_length: int) -> None:
        """Refuse a `model.max_length` beyond what the model takes."""
        ...
