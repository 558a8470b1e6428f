"""What the store hands out and takes in: frozen plain data, no database rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from tuner.candidate import Candidate
from tuner.metrics import Estimate, Metrics
from tuner.stage import StageRun

StudyState = Literal[
    "queued",
    "running",
    "paused",
    "stopping",
    "confirming",
    "finished",
    "interrupted",
    "cancelled",
    "failed",
]
TrialState = Literal["queued", "running", "complete", "failed", "pruned", "repeated", "cancelled"]
MeasurementKind = Literal["performance", "quality", "confirm"]


@dataclass(frozen=True)
class HostRecord:
    """A machine that measured, as it described itself."""

    fingerprint: str
    name: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Worker:
    """A process that evaluates trials; `silent_s` is how many seconds ago it was heard of."""

    name: str
    incarnation: str
    pid: int
    capabilities: Mapping[str, Any]
    host: HostRecord | None
    started_at: datetime
    stopped_at: datetime | None
    silent_s: float


@dataclass(frozen=True)
class Study:
    """A study. `spec` is the resolved study file as plain data.

    `clocks` is the study-wide median of the baseline in ms by host fingerprint; `meta` what preparing it found;
    `summary` what lists show; `worker` and `token` are the coordinator's lease; `epoch` is Optuna's view of it.
    """

    id: str
    name: str
    spec: Mapping[str, Any]
    state: StudyState
    clocks: Mapping[str, float]
    meta: Mapping[str, Any]
    summary: Mapping[str, Any]
    epoch: int
    worker: str | None
    token: int
    host: HostRecord | None
    created_at: datetime
    updated_at: datetime

    @property
    def baseline_ms(self) -> float | None:
        """Return the baseline's median on the study's own host, in ms."""
        return self.clock(self.host)

    def clock(self, host: HostRecord | None) -> float | None:
        """Return the baseline's median on a host, in ms; of the only host where none is known."""
        if host is not None:
            return self.clocks.get(host.fingerprint)
        return next(iter(self.clocks.values()), None)

    @property
    def optuna_name(self) -> str:
        """Return the name of Optuna's study."""
        return f"{self.id}.{self.epoch}" if self.epoch else self.id


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
    `kind` and `reason` say why it failed or was pruned; `attempt` counts the starts that were not given back.
    `worker` and `token` are the lease under which it runs or was ended; `requires` is what its worker must have.
    `told` says that Optuna has heard how it ended; a discarded one is on record only.
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
    requires: Mapping[str, Any]
    worker: str | None
    token: int
    attempt: int
    told: bool
    retry_of: str | None
    discarded_at: datetime | None
    discard_reason: str | None
    stages: tuple[StageRun, ...]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    confirmed_at: datetime | None


@dataclass(frozen=True)
class Artefact:
    """A built artefact in the cache of a host, of `size_bytes` bytes at `path`; `sha256` of its content."""

    key: str
    kind: str
    path: str
    sha256: str
    size_bytes: int
    created_at: datetime | None = None  # None on the way in means now
    last_used_at: datetime | None = None


@dataclass(frozen=True)
class Event:
    """What a person would want to read afterwards."""

    at: datetime
    kind: str
    message: str
    data: Mapping[str, Any]
    study_id: str | None
    trial_id: str | None
