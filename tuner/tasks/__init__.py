"""What a model is for: documents, inputs, and quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.spec.model import StudySpec
    from tuner.tasks.base import Task


def load_task(spec: StudySpec) -> Task:
    """Return the study's task."""
    from tuner.tasks import generation, text_classification

    return generation if spec.task == "text-generation" else text_classification
