"""Confirm: the search's front once more, on documents that the search never saw, latencies interleaved in one run.

The best of many noisy measurements looks better than it is, and sixty candidates overfit a validation split of a few
hundred documents. So the front that is shown and exported is the one measured here.
"""

from __future__ import annotations

from typing import Any

from tuner.errors import JobError, TunerError
from tuner.metrics import Estimate
from tuner.pipeline.bench import Bench
from tuner.pipeline.cache import Entry
from tuner.pipeline.evaluate import build_candidate
from tuner.pipeline.metrics import trial_metrics
from tuner.pipeline.prepare import Prepared
from tuner.pipeline.quality import answers, judge
from tuner.pipeline.workshop import Workshop
from tuner.search.front import Point, contenders, front, losses
from tuner.service.points import search_points
from tuner.service.progress import Progress
from tuner.store import Store
from tuner.store.records import Measurement, Study, Trial

_MOST = 12  # finalists whose place only noise leaves open, the front among them: each costs some ten seconds


def finalists(store: Store, study: Study, ready: Prepared, bench: Bench) -> list[Trial]:
    """Return what is confirmed: the feasible front, baseline, and each engine's fastest artefact of the whole model.

    To the front count the points that only noise may have kept off it: a few hundred documents leave it open which of
    several small students is within the tolerance. The whole models are what a user gets today without making the
    model smaller: the front is shown beside them.
    """
    trials = {t.number: t for t in store.trials(study, ("complete",))}
    points = search_points(study, list(trials.values()))
    chosen = {p.trial for p in _hopefuls(points, study.spec["objectives"])}
    chosen |= {number for number, t in trials.items() if t.candidate == bench.baseline}
    chosen |= {p.trial for p in _whole(points, ready.layers)}
    return [trials[number] for number in sorted(chosen)]


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


def confirm(
    store: Store, study: Study, shop: Workshop, ready: Prepared, bench: Bench, progress: Progress
) -> None:
    """Measure the finalists again and store it. Does nothing where all of them are confirmed already."""
    chosen = finalists(store, study, ready, bench)
    if not chosen or all(trial.confirmed is not None for trial in chosen):
        return
    progress.confirming(len(chosen))
    base = answers(shop, ready, bench.reference_artefact, "test")
    built = [
        (trial, entry) for trial in chosen if (entry := _rebuilt(shop, ready, trial, progress)) is not None
    ]
    for (trial, entry), performance in zip(built, _measured(bench, built), strict=True):
        own = answers(shop, ready, entry, "test")
        quality, correct, confusion = judge(ready, "test", own, base)
        metrics = trial_metrics(performance, quality, study.baseline_ms or performance["reference_ms"])
        raw = Measurement("confirm", tuple(performance["samples"]), tuple(performance["reference_samples"]))
        matrix = Measurement("confirm", summary={"confusion": confusion})
        store.confirm_trial(trial.id, metrics, Estimate(**performance["ratio"]), [raw, matrix], correct)
    shop.take_runs()


def _rebuilt(shop: Workshop, ready: Prepared, trial: Trial, progress: Progress) -> Entry | None:
    try:
        return build_candidate(shop, ready, trial.candidate)
    except TunerError as error:  # its cache is gone and it does not build again: the others still count
        progress.note(f"trial {trial.number} could not be confirmed: {error}")
        return None


def _measured(bench: Bench, built: list[tuple[Trial, Entry]]) -> list[dict[str, Any]]:
    """Return performances measured in one interleaved run; one by one where that fails (too little memory)."""
    pairs = [(entry, trial.candidate) for trial, entry in built]
    try:
        return [found.to_json() for found in bench.together(pairs)]
    except JobError:
        return [bench.together([pair])[0].to_json() for pair in pairs]
