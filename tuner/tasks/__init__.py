"""What a model is for: documents, inputs, and quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.spec.model import StudySpec
    from tuner.tasks.base import Task


def load_task(spec: StudySpec) -> Task:
    """Return the study's task; only it is imported, for each has libraries of its own."""
    if spec.task == "text-generation":
        from tuner.tasks import generation

        return generation
    from tuner.tasks import text_classification

    return text_classification
