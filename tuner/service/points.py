"""Points: stored trials as the front sees them, all on the study's clock."""

from __future__ import annotations

from collections.abc import Iterable

from tuner.metrics import Metrics
from tuner.pipeline.metrics import on_clock
from tuner.search.front import Point
from tuner.search.objective import is_feasible
from tuner.spec.constraint import parse_constraint
from tuner.store.records import Study, Trial


def search_metrics(study: Study, trial: Trial) -> Metrics:
    """Return what the search measured of a trial."""
    return on_clock(trial.metrics, trial.ratio, study.baseline_ms)


def confirmed_metrics(study: Study, trial: Trial) -> Metrics | None:
    """Return what the confirmation measured of a trial, or None."""
    if trial.confirmed is None:
        return None
    return on_clock(trial.confirmed, trial.confirmed_ratio, study.baseline_ms)


def feasible(study: Study, metrics: Metrics) -> bool:
    """Say whether metrics meet all constraints of the study."""
    return is_feasible([parse_constraint(text) for text in study.spec["constraints"]], metrics)


def search_points(study: Study, trials: Iterable[Trial]) -> list[Point]:
    """Return the completed trials as points of the search."""
    measured = [(t, search_metrics(study, t)) for t in trials if t.state == "complete"]
    return [Point(t.number, t.candidate, found, feasible(study, found)) for t, found in measured]


def shown_points(study: Study, trials: Iterable[Trial]) -> list[Point]:
    """Return the points of the front that is shown: the confirmed ones, or before that those of the search."""
    kept = [t for t in trials if t.state == "complete"]
    confirmed = [(t, m) for t in kept if (m := confirmed_metrics(study, t)) is not None]
    if not confirmed:
        return search_points(study, kept)
    return [Point(t.number, t.candidate, m, feasible(study, m), confirmed=True) for t, m in confirmed]
