"""Quality: a built artefact's answers on a split, and what they are worth, as its task has it."""

from __future__ import annotations

from tuner.pipeline import expectations, predictions
from tuner.pipeline.cache import Entry
from tuner.pipeline.judgement import Judgement
from tuner.pipeline.parts import Watch
from tuner.pipeline.predictions import correct
from tuner.pipeline.prepared import Prepared
from tuner.pipeline.workshop import Workshop
from tuner.spec.model import GENERATION

__all__ = ["Watch", "answers", "correct", "counts", "judge"]


def answers(
    shop: Workshop, ready: Prepared, artefact: Entry, split: str, watch: Watch | None = None
) -> Entry:
    """Return the entry that holds what the artefact says on a split; only a classifier can be watched.

    Raises:
        EnoughError: who watches has seen enough; nothing is kept.
    """
    if shop.spec.task == GENERATION:
        return expectations.scores(shop, ready, artefact, split)
    return predictions.answers(shop, ready, artefact, split, watch)


def judge(shop: Workshop, ready: Prepared, split: str, own: Entry, base: Entry) -> Judgement:
    """Return what the answers `own` are worth beside the baseline's, `base`."""
    if shop.spec.task == GENERATION:
        return expectations.judge(shop, ready, split, own, base)
    return predictions.judge(ready, split, own, base)


def counts(shop: Workshop, ready: Prepared, split: str, own: Entry) -> dict[str, list[float]]:
    """Return what a language model's metrics are made of, by document and by answer; nothing of a classifier's."""
    return expectations.counts(shop, ready, split, own) if shop.spec.task == GENERATION else {}
