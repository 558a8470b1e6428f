"""Prepare: what is done once per study: data, teacher, and what the teacher's structure allows."""

from __future__ import annotations

from tuner.pipeline.classification import prepare_classifier
from tuner.pipeline.generation import prepare_language_model
from tuner.pipeline.prepared import Prepared
from tuner.pipeline.workshop import Workshop
from tuner.spec.model import GENERATION

__all__ = ["Prepared", "prepare"]


def prepare(shop: Workshop) -> Prepared:
    """Return the study's fixed inputs, made by the steps of its task.

    Raises:
        InputError: the data or the model cannot be used; the message names it and the remedy.
    """
    return prepare_language_model(shop) if shop.spec.task == GENERATION else prepare_classifier(shop)
