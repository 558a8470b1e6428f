"""Evaluate: one candidate through all stages, to everything that was measured of it, or until it is given up."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuner.candidate import Candidate
from tuner.metrics import Metrics
from tuner.pipeline.bench import Bench
from tuner.pipeline.building import artefact_for
from tuner.pipeline.cache import Entry
from tuner.pipeline.drafting import with_draft
from tuner.pipeline.gate import Gate, GivenUp
from tuner.pipeline.parts import EnoughError
from tuner.pipeline.prepared import Prepared
from tuner.pipeline.quality import Watch, answers, correct, judge
from tuner.pipeline.shaping import checkpoint_for, shaped_for
from tuner.pipeline.workshop import Workshop
from tuner.spec.model import GENERATION
from tuner.stage import StageRun

_SPLIT = "validation"


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


def evaluate(
    shop: Workshop, ready: Prepared, bench: Bench, candidate: Candidate, gate: Gate | None = None
) -> Evaluation | GivenUp:
    """Shape, recover, build, measure and judge a candidate on the validation split; a `gate` may give it up.

    Raises:
        BuildError, UnsupportedError: this candidate cannot be built here; the reason is a property of it.
        JobError: a child process crashed or passed a limit.
    """
    shop.take_runs()  # what a failed candidate left
    if gate is not None and gate.looks_first():
        untrained = built_from(shop, ready, shaped_for(shop, ready, candidate), candidate)
        performance = bench.performance(untrained, candidate).info
        if (why := gate.refuses(performance)) is not None:
            return GivenUp(candidate, "gate", why, performance, {}, shop.take_runs())
    artefact = build_candidate(shop, ready, candidate)
    performance = bench.performance(artefact, candidate).info
    if gate is not None and shop.spec.task != GENERATION and gate.watches():
        return _watched(shop, ready, bench, (candidate, artefact, performance), gate)
    return _judged(shop, ready, bench, (candidate, artefact, performance))


_Measured = tuple[Candidate, Entry, dict[str, Any]]


def _watched(
    shop: Workshop, ready: Prepared, bench: Bench, measured: _Measured, gate: Gate
) -> Evaluation | GivenUp:
    """Judge a candidate as long as the gate wants to hear more."""
    candidate, artefact, performance = measured
    base = correct(ready, _SPLIT, _reference(shop, ready, bench))
    order, found = gate.order(base), list[tuple[str, Metrics]]()

    def enough(answered: np.ndarray) -> bool:
        if (given_up := gate.gives_up(performance, base, order, answered)) is not None:
            found.append(given_up)
        return bool(found)

    begin = time.monotonic()
    try:
        answers(shop, ready, artefact, _SPLIT, Watch(order, enough))
    except EnoughError:
        (reason, quality), runs = found[0], shop.take_runs()
        runs.append(StageRun("subset", artefact.key, False, time.monotonic() - begin))
        return GivenUp(candidate, "subset", reason, performance, quality, runs)
    return _judged(shop, ready, bench, measured)


def _judged(shop: Workshop, ready: Prepared, bench: Bench, measured: _Measured) -> Evaluation:
    candidate, artefact, performance = measured
    runs = shop.take_runs()
    own = answers(shop, ready, artefact, _SPLIT)
    quality_runs = shop.take_runs()
    if not any(run.name == "quality" for run in runs):  # else they were watched
        runs += quality_runs
    base = _reference(shop, ready, bench)
    found = judge(shop, ready, _SPLIT, own, base)
    return Evaluation(candidate, artefact, performance, *found, runs)


def _reference(shop: Workshop, ready: Prepared, bench: Bench) -> Entry:
    """Return the baseline's answers; having them made is no stage of this candidate."""
    before = shop.take_runs()
    found = answers(shop, ready, bench.reference_artefact, _SPLIT)
    shop.take_runs()
    shop.runs.extend(before)
    return found


def build_candidate(shop: Workshop, ready: Prepared, candidate: Candidate) -> Entry:
    """Return the candidate's built artefact, all stages before it included."""
    return built_from(shop, ready, checkpoint_for(shop, ready, candidate), candidate)


def built_from(shop: Workshop, ready: Prepared, checkpoint: Entry, candidate: Candidate) -> Entry:
    """Return the artefact of a checkpoint, with the student that drafts for it, if the candidate has one."""
    artefact = artefact_for(shop, ready, checkpoint, candidate)
    return with_draft(shop, ready, checkpoint, artefact, candidate)
