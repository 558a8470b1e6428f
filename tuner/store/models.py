"""The tables. Rows are keyed by UUID strings: SQLite re-uses Optuna's integer ids after a deletion.

No foreign key points into Optuna's tables (it would break `optuna.delete_study`). States are plain strings
with a CHECK: PostgreSQL enums would share a namespace with Optuna's.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from tuner.store.columns import Flags, Samples, UtcDateTime, now

STUDY_STATES = (
    *("queued", "running", "paused", "stopping", "confirming"),
    *("finished", "interrupted", "cancelled", "failed"),
)
TRIAL_STATES = ("queued", "running", "complete", "failed", "pruned", "repeated", "cancelled")
UNFINISHED = ("queued", "running")
#: States of a trial whose candidate counts against the budget.
MEASURED = ("complete", "failed", "pruned")
MEASUREMENT_KINDS = ("performance", "quality", "confirm")

#: Batch mode on SQLite finds a constraint again only by its name.
_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


def _one_of(column: str, values: Sequence[str]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(v) for v in values)})", name=column)


def _key() -> Mapped[str]:
    return mapped_column(String(36), primary_key=True, default=lambda: str(uuid.uuid4()))


class Base(DeclarativeBase):
    """Base of all tuner tables."""

    metadata = MetaData(naming_convention=_NAMES)


class HostRow(Base):
    """A machine that measured; `fingerprint` is the hash of what changes measurements."""

    __tablename__ = "tuner_host"
    id: Mapped[str] = _key()
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(255))
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class WorkerRow(Base):
    """A process that evaluates trials. `incarnation` tells two processes of one name apart; `beat_at` is in seconds
    of the database's clock; `stopped_at` is set by one that left in good order.
    """

    __tablename__ = "tuner_worker"
    id: Mapped[str] = _key()
    name: Mapped[str] = mapped_column(String(100), unique=True)
    incarnation: Mapped[str] = mapped_column(String(36))
    pid: Mapped[int]
    capabilities: Mapped[dict[str, Any]] = mapped_column(JSON)
    host_id: Mapped[str | None] = mapped_column(ForeignKey("tuner_host.id"))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    stopped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    beat_at: Mapped[float] = mapped_column(Double)
    host: Mapped[HostRow | None] = relationship(lazy="joined")


class StudyRow(Base):
    """A study, under the same name as its file.

    `clocks` holds the study-wide median of the baseline in ms by host fingerprint; `summary` what lists show.
    `worker`, `token` and `lease_until` (seconds of the database's clock) say who coordinates it. `epoch` counts how
    often Optuna's view was made anew.
    """

    __tablename__ = "tuner_study"
    __table_args__ = (_one_of("state", STUDY_STATES), Index(None, "state"))
    id: Mapped[str] = _key()
    name: Mapped[str] = mapped_column(String(100), unique=True)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16))
    clocks: Mapped[dict[str, Any]] = mapped_column(JSON)
    meta: Mapped[dict[str, Any]] = mapped_column(JSON)
    summary: Mapped[dict[str, Any]] = mapped_column(JSON)
    epoch: Mapped[int]
    worker: Mapped[str | None] = mapped_column(String(100))
    token: Mapped[int]
    lease_until: Mapped[float | None] = mapped_column(Double)
    host_id: Mapped[str | None] = mapped_column(ForeignKey("tuner_host.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    host: Mapped[HostRow | None] = relationship(lazy="joined")


class TrialRow(Base):
    """One candidate's way through the pipeline. Headline columns repeat `metrics` for quick lists.

    `worker`, `token` and `lease_until` (seconds of the database's clock) say who runs it: a write under an older token
    is refused. `told` says that Optuna has heard how it ended.
    """

    __tablename__ = "tuner_trial"
    __table_args__ = (
        UniqueConstraint("study_id", "number"),
        Index(None, "study_id", "hash"),
        Index(None, "study_id", "state", "told"),
        Index(None, "state", "requires_key"),
        _one_of("state", TRIAL_STATES),
    )
    id: Mapped[str] = _key()
    study_id: Mapped[str] = mapped_column(ForeignKey("tuner_study.id", ondelete="CASCADE"))
    number: Mapped[int]
    optuna_number: Mapped[int | None]
    candidate: Mapped[dict[str, Any]] = mapped_column(JSON)
    hash: Mapped[str] = mapped_column(String(16))
    seed: Mapped[bool]
    state: Mapped[str] = mapped_column(String(16))
    kind: Mapped[str | None] = mapped_column(String(32))
    reason: Mapped[str | None] = mapped_column(Text)
    log_tail: Mapped[str | None] = mapped_column(Text)
    metrics: Mapped[dict[str, Any]] = mapped_column(JSON)
    confirmed: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    accuracy: Mapped[float | None]
    accuracy_drop: Mapped[float | None]
    latency_ms: Mapped[float | None]
    speedup: Mapped[float | None]
    throughput: Mapped[float | None]
    memory_mb: Mapped[float | None]
    size_mb: Mapped[float | None]
    ratio: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    confirmed_ratio: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    reference_ms: Mapped[float | None]
    correct: Mapped[Sequence[bool] | None] = mapped_column(Flags)
    confirmed_correct: Mapped[Sequence[bool] | None] = mapped_column(Flags)
    artefact_key: Mapped[str | None] = mapped_column(String(64))
    repeat_of: Mapped[str | None] = mapped_column(ForeignKey("tuner_trial.id", ondelete="SET NULL"))
    host_id: Mapped[str | None] = mapped_column(ForeignKey("tuner_host.id"))
    requires: Mapped[dict[str, Any]] = mapped_column(JSON)
    requires_key: Mapped[str] = mapped_column(String(16))
    worker: Mapped[str | None] = mapped_column(String(100))
    token: Mapped[int]
    lease_until: Mapped[float | None] = mapped_column(Double)
    attempt: Mapped[int]
    told: Mapped[bool]
    retry_of: Mapped[str | None] = mapped_column(ForeignKey("tuner_trial.id", ondelete="SET NULL"))
    discarded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    discard_reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    host: Mapped[HostRow | None] = relationship(lazy="joined")
    stages: Mapped[list[StageRunRow]] = relationship(order_by="StageRunRow.position", lazy="selectin")


class StageRunRow(Base):
    """One stage of one trial: its cache key, whether it was there already, and what it took."""

    __tablename__ = "tuner_stage_run"
    id: Mapped[str] = _key()
    trial_id: Mapped[str] = mapped_column(ForeignKey("tuner_trial.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    name: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(64))
    hit: Mapped[bool]
    seconds: Mapped[float]


class MeasurementRow(Base):
    """Raw samples (ms per call) of the candidate and of the reference beside it, and their summary."""

    __tablename__ = "tuner_measurement"
    __table_args__ = (_one_of("kind", MEASUREMENT_KINDS),)
    id: Mapped[str] = _key()
    trial_id: Mapped[str] = mapped_column(ForeignKey("tuner_trial.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    samples: Mapped[Sequence[float] | None] = mapped_column(Samples)
    reference_samples: Mapped[Sequence[float] | None] = mapped_column(Samples)
    summary: Mapped[dict[str, Any]] = mapped_column(JSON)
    host_id: Mapped[str | None] = mapped_column(ForeignKey("tuner_host.id"))
    taken_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    host: Mapped[HostRow | None] = relationship(lazy="joined")


class ArtefactRow(Base):
    """A built artefact in a host's cache; `key` is the hash of all it was built from, `sha256` of its content."""

    __tablename__ = "tuner_artifact"
    __table_args__ = (UniqueConstraint("key", "host_id"),)
    id: Mapped[str] = _key()
    key: Mapped[str] = mapped_column(String(64))
    host_id: Mapped[str | None] = mapped_column(ForeignKey("tuner_host.id"))
    kind: Mapped[str] = mapped_column(String(32))
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class EventRow(Base):
    """What a person would want to read afterwards."""

    __tablename__ = "tuner_event"
    __table_args__ = (Index(None, "study_id", "at"),)
    id: Mapped[str] = _key()
    study_id: Mapped[str | None] = mapped_column(ForeignKey("tuner_study.id", ondelete="CASCADE"))
    trial_id: Mapped[str | None] = mapped_column(ForeignKey("tuner_trial.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    kind: Mapped[str] = mapped_column(String(32))
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
