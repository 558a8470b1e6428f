"""Confirm: the search's front once more, on documents that the search never saw, latencies interleaved in one run.

The best of many noisy measurements looks better than it is, and sixty candidates overfit a validation split of a few
hundred documents. So the front that is shown and exported is the one measured here.
"""

from __future__ import annotations

from typing import Any

from tuner.faults import fault
from tuner.hardware import Host
from tuner.metrics import Estimate
from tuner.pipeline.metrics import trial_metrics
from tuner.search.front import Point, contenders, front, losses
from tuner.service.pipeline import Confirmation, Pipeline
from tuner.service.points import is_baseline, search_points
from tuner.service.record import under_load
from tuner.service.requires import price_of
from tuner.store import Store
from tuner.store.records import Measurement, Study, Trial

_MOST = 12  # finalists whose place only noise leaves open, the front among them: each costs some ten seconds


def finalists(study: Study, trials: list[Trial], host: str) -> list[Trial]:
    """Return what is confirmed on a host: the feasible front, the baseline, each engine's fastest whole model.

    To the front count the points that only noise may have kept off it: a few hundred documents leave it open which of
    several small students is within the tolerance. The whole models are what a user gets today without making the
    model smaller: the front is shown beside them.
    """
    points = [p for p in search_points(study, trials) if p.host == host]
    chosen = {p.trial for p in _hopefuls(points, study.spec["objectives"])}
    chosen |= {p.trial for p in points if is_baseline(study, p.candidate)}
    chosen |= {p.trial for p in _whole(points, int(study.meta["anatomy"]["layers"]))}
    return [t for t in trials if t.number in chosen]


def unconfirmed_hosts(study: Study, trials: list[Trial]) -> list[str]:
    """Return the fingerprints of the hosts that still have a finalist to confirm."""
    hosts = {"" if t.host is None else t.host.fingerprint for t in trials if t.state == "complete"}
    return sorted(h for h in hosts if any(t.confirmed is None for t in finalists(study, trials, h)))


def confirm(store: Store, study: Study, pipeline: Pipeline, chosen: list[Trial], host: Host) -> None:
    """Measure the finalists again on this host, and store it.

    Raises:
        LeaseLostError: the study is coordinated by another by now.
    """
    fault("in_confirm")
    found = {c.candidate: c for c in pipeline.confirm(study, [t.candidate for t in chosen])}
    for trial in chosen:
        if trial.candidate in found:
            _store(store, study, trial, found[trial.candidate], host)


def _store(store: Store, study: Study, trial: Trial, found: Confirmation, host: Host) -> None:
    performance = found.performance
    clock = study.clocks.get(host.fingerprint) or performance["reference_ms"]
    metrics = trial_metrics(performance, found.quality, clock, price_of(study.spec, host.name))
    raw = Measurement("confirm", tuple(performance["samples"]), tuple(performance["reference_samples"]))
    matrix: dict[str, Any] = {"confusion": found.confusion}
    measured = [raw, *under_load("confirm", performance), Measurement("confirm", summary=matrix)]
    store.confirm_trial(study, trial.id, metrics, Estimate(**performance["ratio"]), measured, found.correct)


def _hopefuls(points: list[Point], objectives: list[str]) -> list[Point]:
    """Return the front, and of what noise may have kept off it the best by the last objective (the fastest)."""
    certain = front(points, objectives)
    doubtful = [p for p in contenders(points, objectives) if p not in certain]
    doubtful.sort(key=lambda p: (losses(p, objectives) or ())[::-1])
    return certain + doubtful[: max(0, _MOST - len(certain))]


def _whole(points: list[Point], layers: int) -> list[Point]:
    """Return the fastest point of the untouched model on each engine."""
    best: dict[str, Point] = {}
    whole = [p for p in points if p.candidate.is_unshaped(layers) and p.value("latency_ms") is not None]
    for point in sorted(whole, key=lambda p: p.value("latency_ms") or 0.0):
        best.setdefault(point.candidate.backend.engine, point)
    return list(best.values())
