"""From rows to records and back."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any, cast

from tuner.candidate import Candidate
from tuner.metrics import Estimate, Metrics
from tuner.stage import StageRun
from tuner.store.models import (
    ArtefactRow,
    EventRow,
    HostRow,
    MeasurementRow,
    StageRunRow,
    StudyRow,
    TrialRow,
    WorkerRow,
)
from tuner.store.records import (
    Artefact,
    Event,
    HostRecord,
    Measurement,
    MeasurementKind,
    Study,
    StudyState,
    Trial,
    TrialState,
    Worker,
)

#: Metrics that are also columns of the trial table.
HEADLINE = ("accuracy", "accuracy_drop", "latency_ms", "speedup", "throughput", "memory_mb", "size_mb")


def metrics_out(metrics: Metrics) -> dict[str, Any]:
    """Return the plain-data form of metrics; a value that is not finite was not measured."""
    return {name: None if value is None else estimate_out(value) for name, value in metrics.items()}


def estimate_out(value: Estimate) -> dict[str, float] | None:
    """Return the plain-data form of an estimate; JSON has no inf: an open end is the largest float."""
    if not math.isfinite(value.value):
        return None
    low = value.low if math.isfinite(value.low) else -sys.float_info.max
    high = value.high if math.isfinite(value.high) else sys.float_info.max
    return {"value": value.value, "low": low, "high": high}


def metrics_in(data: Mapping[str, Any]) -> Metrics:
    """Return metrics from their plain-data form."""
    return {name: None if value is None else Estimate.model_validate(value) for name, value in data.items()}


def headline(metrics: Metrics) -> dict[str, float | None]:
    """Return the values of the headline columns."""
    found = {name: metrics.get(name) for name in HEADLINE}
    return {name: e.value if e is not None and math.isfinite(e.value) else None for name, e in found.items()}


def estimate_in(data: Mapping[str, Any] | None) -> Estimate | None:
    """Return an estimate from its plain-data form."""
    return None if data is None else Estimate.model_validate(data)


def host_record(row: HostRow | None) -> HostRecord | None:
    """Return a host's record."""
    return None if row is None else HostRecord(row.fingerprint, row.name, row.data)


def study_record(row: StudyRow) -> Study:
    """Return a study's record."""
    return Study(
        id=row.id,
        name=row.name,
        spec=row.spec,
        state=cast(StudyState, row.state),
        clocks=row.clocks,
        meta=row.meta,
        summary=row.summary,
        epoch=row.epoch,
        worker=row.worker,
        token=row.token,
        host=host_record(row.host),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def worker_record(row: WorkerRow, clock: float) -> Worker:
    """Return a worker's record; `clock` is the database's present time in seconds."""
    return Worker(
        name=row.name,
        incarnation=row.incarnation,
        pid=row.pid,
        capabilities=row.capabilities,
        host=host_record(row.host),
        started_at=row.started_at,
        stopped_at=row.stopped_at,
        silent_s=max(clock - row.beat_at, 0.0),
    )


def trial_record(row: TrialRow) -> Trial:
    """Return a trial's record."""
    return Trial(
        id=row.id,
        study_id=row.study_id,
        number=row.number,
        optuna_number=row.optuna_number,
        candidate=Candidate.model_validate(row.candidate),
        hash=row.hash,
        seed=row.seed,
        state=cast(TrialState, row.state),
        kind=row.kind,
        reason=row.reason,
        log_tail=row.log_tail,
        metrics=metrics_in(row.metrics),
        confirmed=None if row.confirmed is None else metrics_in(row.confirmed),
        ratio=estimate_in(row.ratio),
        confirmed_ratio=estimate_in(row.confirmed_ratio),
        reference_ms=row.reference_ms,
        correct=None if row.correct is None else tuple(row.correct),
        confirmed_correct=None if row.confirmed_correct is None else tuple(row.confirmed_correct),
        artefact_key=row.artefact_key,
        repeat_of=row.repeat_of,
        host=host_record(row.host),
        requires=row.requires,
        worker=row.worker,
        token=row.token,
        attempt=row.attempt,
        told=row.told,
        retry_of=row.retry_of,
        discarded_at=row.discarded_at,
        discard_reason=row.discard_reason,
        stages=tuple(StageRun(s.name, s.key, s.hit, s.seconds) for s in row.stages),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        confirmed_at=row.confirmed_at,
    )


def stage_row(position: int, stage: StageRun) -> StageRunRow:
    """Return a stage's row."""
    return StageRunRow(
        position=position, name=stage.name, key=stage.key, hit=stage.hit, seconds=stage.seconds
    )


def measurement_record(row: MeasurementRow) -> Measurement:
    """Return a measurement's record."""
    return Measurement(
        kind=cast(MeasurementKind, row.kind),
        samples=None if row.samples is None else tuple(row.samples),
        reference_samples=None if row.reference_samples is None else tuple(row.reference_samples),
        summary=row.summary,
        host=None if row.host is None else row.host.fingerprint,
        taken_at=row.taken_at,
    )


def artefact_record(row: ArtefactRow) -> Artefact:
    """Return an artefact's record."""
    return Artefact(row.key, row.kind, row.path, row.sha256, row.size_bytes, row.created_at, row.last_used_at)


def event_record(row: EventRow) -> Event:
    """Return an event's record."""
    return Event(row.at, row.kind, row.message, row.data, row.study_id, row.trial_id)
