"""Quality: the built artefact's answers on a split, through the session that serves, and what they are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tuner.measure.client import Serving
from tuner.metrics import Estimate, Metrics
from tuner.pipeline.cache import Entry, code_hash
from tuner.pipeline.prepare import Prepared
from tuner.pipeline.workshop import Workshop
from tuner.tasks import text_classification as task

_BATCH = (
    8  # documents a call: no engine's answers may depend on it (the conformance suite holds them to that)
)


def answers(shop: Workshop, ready: Prepared, artefact: Entry, split: str) -> Entry:
    """Return the entry whose `logits.npy` (documents, classes) are the artefact's answers on a split."""
    inputs = ready.data.path / f"{split}.npz"

    def taken(out: Path) -> dict[str, Any]:
        cores = shop.host.cores
        with shop.quiet.shared(), Serving(artefact.path, len(cores), cores) as serving:
            np.save(out / "logits.npy", serving.predict(inputs, batch=_BATCH))
        return {}

    parts = {
        "artefact": artefact.key,
        "data": ready.data.key,
        "split": split,
        "host": shop.host.fingerprint,
        "code": code_hash("tuner.measure.server", "tuner.runtime"),
    }
    return shop.stage("quality", parts, taken)


def judge(
    ready: Prepared, split: str, own: Entry, base: Entry
) -> tuple[Metrics, list[bool], list[list[int]]]:
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
    return found, (predicted == labels).tolist(), matrix.tolist()
