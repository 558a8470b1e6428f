"""Events: what happens while studies run, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tuner.candidate import Candidate
from tuner.metrics import Metrics

EventKind = Literal[
    "study-started",
    "stage",
    "trial-started",
    "trial-finished",
    "trial-failed",
    "trial-repeated",
    "confirming",
    "study-finished",
    "note",
]


@dataclass(frozen=True)
class Event:
    """One event. `message` alone is a readable line; the rest is there where it is known.

    `done` of `total` trials (total None: only time ends the study), `seconds_left` by the budget,
    `best_speedup` the highest of a feasible trial against the baseline, `hypervolume` normalised, 0 to 1.
    """

    kind: EventKind
    message: str
    study: str | None = None
    trial: int | None = None
    candidate: Candidate | None = None
    stage: str | None = None
    done: int | None = None
    total: int | None = None
    seconds_left: float | None = None
    best_speedup: float | None = None
    hypervolume: float | None = None
    metrics: Metrics | None = None


Listener = Callable[[Event], None]
