"""What the store hands out and takes in: frozen plain data, no database rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from tuner.candidate import Candidate
from tuner.metrics import Estimate, Metrics
from tuner.stage import StageRun

StudyState = Literal["running", "finished", "interrupted", "failed"]
TrialState = Literal["queued", "running", "complete", "failed", "pruned", "repeated"]
MeasurementKind = Literal["performance", "quality", "confirm"]


@dataclass(frozen=True)
class HostRecord:
    """A machine that measured, as it described itself."""

    fingerprint: str
    name: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """A study. `spec` is the resolved study file as plain data; `baseline_ms` in milliseconds."""

    id: str
    name: str
    spec: Mapping[str, Any]
    state: StudyState
    baseline_ms: float | None
    meta: Mapping[str, Any]
    host: HostRecord | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Measurement:
    """Raw samples in ms per call, of the candidate and of the reference measured beside it."""

    kind: MeasurementKind
    samples: tuple[float, ...] | None = None
    reference_samples: tuple[float, ...] | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    host: str | None = None  # the host's fingerprint; None on the way in means the trial's host
    taken_at: datetime | None = None  # None on the way in means now


@dataclass(frozen=True)
class Trial:
    """One candidate's way through the pipeline.

    `metrics` are those of the search (validation), `confirmed` those of the confirmation (test) or None.
    `ratio` is candidate latency over reference latency; `reference_ms` the reference's median in this trial.
    `correct` says for each validation document, `confirmed_correct` for each test document, if it was right.
    `kind` and `reason` say why it failed or was pruned; `attempt` counts the starts.
    """

    id: str
    study_id: str
    number: int
    optuna_number: int | None
    candidate: Candidate
    hash: str
    seed: bool
    state: TrialState
    kind: str | None
    reason: str | None
    log_tail: str | None
    metrics: Metrics
    confirmed: Metrics | None
    ratio: Estimate | None
    confirmed_ratio: Estimate | None
    reference_ms: float | None
    correct: tuple[bool, ...] | None
    confirmed_correct: tuple[bool, ...] | None
    artefact_key: str | None
    repeat_of: str | None
    host: HostRecord | None
    attempt: int
    stages: tuple[StageRun, ...]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    confirmed_at: datetime | None


@dataclass(frozen=True)
class Artefact:
    """A built artefact in the cache, of `size_bytes` bytes at `path`."""

    key: str
    kind: str
    path: str
    size_bytes: int
    created_at: datetime
    last_used_at: datetime


@dataclass(frozen=True)
class Event:
    """What a person would want to read afterwards."""

    at: datetime
    kind: str
    message: str
    data: Mapping[str, Any]
    study_id: str | None
    trial_id: str | None
