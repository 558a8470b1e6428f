"""Predictions: a built classifier's logits on a split, through the session that serves, and what they are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tuner.metrics import Estimate
from tuner.pipeline.cache import Entry, code_hash
from tuner.pipeline.judgement import Judgement
from tuner.pipeline.parts import Watch, answered_in_parts
from tuner.pipeline.prepared import Prepared
from tuner.pipeline.workshop import Workshop, serving
from tuner.tasks import text_classification as task


def answers(
    shop: Workshop, ready: Prepared, artefact: Entry, split: str, watch: Watch | None = None
) -> Entry:
    """Return the entry whose `logits.npy` (documents, classes) are the artefact's answers on a split.

    Only calls of one document are watched: with more, a dynamically quantized model's answers hang on their order.

    Raises:
        EnoughError: who watches has seen enough; nothing is kept.
    """
    inputs, batch = ready.data.path / f"{split}.npz", shop.spec.scenario.batch

    def taken(out: Path) -> dict[str, Any]:
        with shop.quiet.shared(), serving(shop, artefact) as child:
            if watch is not None and batch == 1:
                logits = answered_in_parts(child, inputs, watch.order, watch.enough)
            else:
                logits = child.predict(inputs, batch=batch)
            np.save(out / "logits.npy", logits)
        return {}

    parts = {
        "artefact": artefact.key,
        "data": ready.data.key,
        "split": split,
        "batch": batch,  # a dynamically quantized model takes one range for all that is in a call
        "host": shop.host.fingerprint,
        "code": code_hash("tuner.measure.server", "tuner.runtime"),
    }
    return shop.stage("quality", parts, taken)


def correct(ready: Prepared, split: str, found: Entry) -> np.ndarray:
    """Return which documents (documents,) of a split an artefact got right."""
    with np.load(ready.data.path / f"{split}.npz") as arrays:
        labels = arrays["labels"]
    return np.asarray(task.predictions(np.load(found.path / "logits.npy")) == labels)


def judge(ready: Prepared, split: str, own: Entry, base: Entry) -> Judgement:
    """Return the quality metrics with the paired drops, which documents were right, and the confusion matrix."""
    with np.load(ready.data.path / f"{split}.npz") as arrays:
        labels = arrays["labels"]
    logits, before = np.load(own.path / "logits.npy"), np.load(base.path / "logits.npy")
    found: dict[str, Estimate | None] = {
        **task.evaluate(logits, labels),
        **task.drops(before, logits, labels),
    }
    predicted = task.predictions(logits)
    matrix = task.confusion_matrix(predicted, labels, logits.shape[1])
    return Judgement(found, (predicted == labels).tolist(), matrix.tolist())
