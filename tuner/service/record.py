"""Record: one evaluation into the store, on the study's clock."""

from __future__ import annotations

import statistics

from tuner.metrics import Estimate
from tuner.pipeline.evaluate import Evaluation
from tuner.pipeline.metrics import trial_metrics
from tuner.store import Store
from tuner.store.records import Measurement, Study, Trial


def record(store: Store, study: Study, trial: Trial, found: Evaluation) -> Trial:
    """Store a finished trial with its raw samples, and move the study's clock; return the stored trial."""
    reference_ms = float(found.performance["reference_ms"])
    baseline_ms = study_clock(store, study, reference_ms)
    store.update_study(study, baseline_ms=baseline_ms)
    _record_artefact(store, found)
    return store.finish_trial(
        trial.id,
        trial_metrics(found.performance, found.quality, baseline_ms),
        ratio=Estimate(**found.performance["ratio"]),
        stages=found.stages,
        measurements=[_performance(found), Measurement("quality", summary={"confusion": found.confusion})],
        artefact_key=found.artefact.key,
        correct=found.correct,
        reference_ms=reference_ms,
    )


def study_clock(store: Store, study: Study, newest: float) -> float:
    """Return the baseline's median over the whole study, in ms: the median of what each trial saw beside it."""
    seen = [t.reference_ms for t in store.trials(study, ("complete",)) if t.reference_ms is not None]
    return statistics.median([*seen, newest])


def _performance(found: Evaluation) -> Measurement:
    summary = {k: v for k, v in found.performance.items() if k not in ("samples", "reference_samples")}
    samples, beside = found.performance["samples"], found.performance["reference_samples"]
    return Measurement("performance", tuple(samples), tuple(beside), summary)


def _record_artefact(store: Store, found: Evaluation) -> None:
    entry = found.artefact
    size = sum(p.stat().st_size for p in entry.path.rglob("*") if p.is_file())
    store.record_artefact(entry.key, entry.kind, entry.path, size)
