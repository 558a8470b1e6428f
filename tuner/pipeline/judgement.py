"""Judgement: what the answers of an artefact on a split are worth."""

from __future__ import annotations

from typing import NamedTuple

from tuner.metrics import Metrics


class Judgement(NamedTuple):
    """The quality metrics with the paired losses; which documents (or questions) were right; the confusion matrix.

    `confusion` has a row for each true label and is empty for a language model.
    """

    quality: Metrics
    correct: list[bool]
    confusion: list[list[int]]
