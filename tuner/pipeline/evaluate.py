"""Evaluate: one candidate through all stages, to everything that was measured of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tuner.candidate import Candidate
from tuner.metrics import Metrics
from tuner.pipeline.bench import Bench
from tuner.pipeline.building import artefact_for
from tuner.pipeline.cache import Entry
from tuner.pipeline.prepare import Prepared
from tuner.pipeline.quality import answers, judge
from tuner.pipeline.shaping import checkpoint_for
from tuner.pipeline.workshop import Workshop
from tuner.stage import StageRun


@dataclass(frozen=True)
class Evaluation:
    """What was measured of one candidate. `performance` is `Performance.to_json()`; `correct` per document."""

    candidate: Candidate
    artefact: Entry
    performance: dict[str, Any]
    quality: Metrics
    correct: list[bool]
    confusion: list[list[int]]
    stages: list[StageRun]


def evaluate(shop: Workshop, ready: Prepared, bench: Bench, candidate: Candidate) -> Evaluation:
    """Shape, recover, build, measure and judge a candidate on the validation split.

    Raises:
        BuildError, UnsupportedError: this candidate cannot be built here; the reason is a property of it.
        JobError: a child process crashed or passed a limit.
    """
    shop.take_runs()  # what a failed candidate left
    artefact = build_candidate(shop, ready, candidate)
    performance = bench.performance(artefact, candidate)
    own = answers(shop, ready, artefact, "validation")
    runs = shop.take_runs()
    base = answers(shop, ready, bench.reference_artefact, "validation")
    quality, correct, confusion = judge(ready, "validation", own, base)
    return Evaluation(candidate, artefact, performance.info, quality, correct, confusion, runs)


def build_candidate(shop: Workshop, ready: Prepared, candidate: Candidate) -> Entry:
    """Return the candidate's built artefact, all stages before it included."""
    return artefact_for(shop, ready, checkpoint_for(shop, ready, candidate), candidate)
