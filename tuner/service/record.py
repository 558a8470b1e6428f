"""Record: one evaluation, or one failure, into the store, on the study's clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.errors import JobError, TunerError, UnsupportedError
from tuner.hardware import Host
from tuner.metrics import Estimate
from tuner.pipeline.evaluate import Evaluation
from tuner.pipeline.gate import GivenUp
from tuner.pipeline.metrics import trial_metrics
from tuner.service.requires import price_of
from tuner.stage import StageRun
from tuner.store import Store
from tuner.store.records import Artefact, Measurement, MeasurementKind, Study, Trial


def record(
    store: Store, study: Study, trial: Trial, found: Evaluation, host: Host, log_tail: str = ""
) -> Trial:
    """Store a finished trial with its raw samples, and move the study's clock; return the stored trial.

    Raises:
        LeaseLostError: the trial is another's by now; nothing was written.
    """
    reference_ms = float(found.performance["reference_ms"])
    baseline_ms = store.clock_with(trial.study_id, host, reference_ms)
    return store.finish_trial(
        trial,
        trial_metrics(found.performance, found.quality, baseline_ms, price_of(study.spec, host.name)),
        ratio=Estimate(**found.performance["ratio"]),
        stages=found.stages,
        measurements=[*_performance(found), Measurement("quality", summary={"confusion": found.confusion})],
        artefact_key=found.artefact.key,
        correct=found.correct,
        reference_ms=reference_ms,
        log_tail=log_tail,
        clock_ms=baseline_ms,
        artefact=_artefact(found),
    )


def record_given_up(store: Store, study: Study, trial: Trial, found: GivenUp, host: Host) -> Trial:
    """Store what was measured of a candidate until it was given up, and why; the clock stays where it is.

    Raises:
        LeaseLostError: the trial is another's by now; nothing was written.
    """
    reference_ms = float(found.performance["reference_ms"])
    clock = study.clocks.get(host.fingerprint, reference_ms)
    return store.prune_trial(
        trial,
        found.kind,
        found.reason,
        trial_metrics(found.performance, found.quality, clock, price_of(study.spec, host.name)),
        ratio=Estimate(**found.performance["ratio"]),
        stages=found.stages,
        measurements=_performance(found),
        reference_ms=reference_ms,
    )


def record_failure(
    store: Store, trial: Trial, error: TunerError, stages: list[StageRun], log_tail: str = ""
) -> Trial:
    """Store why a candidate could not be measured; return the stored trial.

    Raises:
        LeaseLostError: the trial is another's by now; nothing was written.
    """
    kind, reason, log = "build", str(error), log_tail
    if isinstance(error, JobError):
        kind, reason, log = error.kind, error.reason, error.log_tail or log_tail
    elif isinstance(error, UnsupportedError):
        kind = "unsupported"
    return store.fail_trial(trial, kind, reason, log, stages)


def disturbances(performance: Mapping[str, Any]) -> list[str]:
    """Return what a measurement should have been without: who else computed on its GPUs."""
    return list((performance.get("gpu") or {}).get("shared") or ())


def _performance(found: Evaluation | GivenUp) -> list[Measurement]:
    apart = ("samples", "reference_samples", "server")
    summary = {k: v for k, v in found.performance.items() if k not in apart}
    samples, beside = found.performance["samples"], found.performance["reference_samples"]
    alone = Measurement("performance", tuple(samples), tuple(beside), summary)
    return [alone, *under_load("performance", found.performance)]


def under_load(kind: MeasurementKind, performance: Mapping[str, Any]) -> list[Measurement]:
    """Return what was measured under load, its latencies (ms) as samples and all probes; nothing in other scenarios."""
    server = performance.get("server")
    if server is None:
        return []
    told = {name: server[name] for name in ("capacity", "probes")}
    return [Measurement(kind, tuple(server["latencies_ms"]), summary={"server": told})]


def _artefact(found: Evaluation) -> Artefact:
    entry = found.artefact
    size = sum(p.stat().st_size for p in entry.path.rglob("*") if p.is_file())
    return Artefact(entry.key, entry.kind, str(entry.path), entry.sha256, size)
