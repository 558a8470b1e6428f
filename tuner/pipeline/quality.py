"""Quality: the built artefact's answers on a split, through the session that serves, and what they are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tuner.measure.client import Serving
from tuner.metrics import Estimate, Metrics
from tuner.pipeline.cache import Entry, code_hash
from tuner.pipeline.prepare import Prepared
from tuner.pipeline.workshop import Workshop, serving_limits
from tuner.tasks import text_classification as task


def answers(shop: Workshop, ready: Prepared, artefact: Entry, split: str) -> Entry:
    """Return the entry whose `logits.npy` (documents, classes) are the artefact's answers on a split."""
    inputs, batch = ready.data.path / f"{split}.npz", shop.spec.scenario.batch

    def taken(out: Path) -> dict[str, Any]:
        with shop.quiet.shared(), _serving(shop, artefact) as serving:
            np.save(out / "logits.npy", serving.predict(inputs, batch=batch))
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


def _serving(shop: Workshop, artefact: Entry) -> Serving:
    cores = shop.host.cores
    return Serving(artefact.path, len(cores), cores, serving_limits(shop.spec, shop.host))


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
