"""Parts: an artefact's answers in growing parts of a split, so that a hopeless one need not answer all of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuner.measure.client import Serving
from tuner.tasks import text_classification as task

_FIRST = 32  # documents; each further part is as large as all before it


@dataclass(frozen=True)
class Watch:
    """Who hears of the first answers: `enough` is told which of them, in the `order` (documents,), were right."""

    order: np.ndarray
    enough: Callable[[np.ndarray], bool]


class EnoughError(Exception):
    """What was answered suffices: the rest is not asked."""

    def __init__(self, answered: int) -> None:
        super().__init__(f"{answered} documents suffice")


def answered_in_parts(
    serving: Serving, inputs: Path, order: np.ndarray, enough: Callable[[np.ndarray], bool]
) -> np.ndarray:
    """Return logits (documents, classes) of an encoded split, one document a call.

    After each part but the last `enough` hears which answers (answered,), in the order (documents,), were right.

    Raises:
        EnoughError: it said so.
    """
    with np.load(inputs) as arrays:
        encoded = {name: arrays[name] for name in arrays.files}
    found: list[np.ndarray] = []
    for begin, end in bounds(len(order)):
        found.append(_ask(serving, {name: array[order[begin:end]] for name, array in encoded.items()}))
        correct = task.predictions(np.concatenate(found)) == encoded["labels"][order[:end]]
        if end < len(order) and enough(correct):
            raise EnoughError(end)
    logits = np.concatenate(found)
    whole = np.empty_like(logits)
    whole[order] = logits
    return whole


def _ask(serving: Serving, encoded: dict[str, np.ndarray]) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.npz"
        np.savez(part, allow_pickle=False, **encoded)
        return serving.predict(part, batch=1)


def bounds(count: int) -> Iterator[tuple[int, int]]:
    """Yield where each part of so many documents begins and ends."""
    begin, end = 0, min(_FIRST, count)
    while begin < count:
        yield begin, end
        begin, end = end, min(2 * end, count)
