"""Glance: where all studies stand, by grouped queries over indexed columns. No trial is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Double, Select, case, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from tuner.store.base import Repository, study_row
from tuner.store.columns import clock
from tuner.store.leases import CLAIMABLE
from tuner.store.models import MEASURED, HostRow, StudyRow, TrialRow
from tuner.store.records import Study, StudyState
from tuner.store.retry import retried


@dataclass(frozen=True)
class Waiting:
    """So many queued trials of a study need the same of their worker."""

    study_id: str
    requires: dict[str, Any]
    trials: int


@dataclass(frozen=True)
class Running:
    """A trial that a worker holds."""

    study_id: str
    trial: int
    worker: str | None
    since: datetime | None


@dataclass(frozen=True)
class Standing:
    """What a list shows of a study; `coordinator` is the worker that looks after it at this moment."""

    id: str
    name: str
    state: StudyState
    spec: Mapping[str, Any]
    summary: Mapping[str, Any]
    host: str | None
    coordinator: str | None
    updated_at: datetime


class Glance(Repository):
    """Read of many studies at once what lists show."""

    @retried
    def standings(self) -> list[Standing]:
        """Return all studies, the one changed last first."""
        columns = (StudyRow.id, StudyRow.name, StudyRow.state, StudyRow.spec, StudyRow.summary, HostRow.name)
        led = case((StudyRow.lease_until >= clock(), StudyRow.worker), else_=None)
        query = select(*columns, led, StudyRow.updated_at).outerjoin(HostRow, HostRow.id == StudyRow.host_id)
        with self._reading() as session:
            rows = session.execute(query.order_by(StudyRow.updated_at.desc(), StudyRow.name))
            return [Standing(*row) for row in rows]

    @retried
    def tallies(self) -> dict[str, dict[str, int]]:
        """Return, by study id, how many trials are in each state."""
        query = select(TrialRow.study_id, TrialRow.state, func.count())
        found: dict[str, dict[str, int]] = {}
        with self._reading() as session:
            for study_id, state, count in session.execute(query.group_by(TrialRow.study_id, TrialRow.state)):
                found.setdefault(study_id, {})[state] = count
        return found

    @retried
    def spent(self, study_ids: Sequence[str]) -> dict[str, tuple[int, float]]:
        """Return, by study id, distinct candidates that were measured and seconds in which at least one of them ran.

        Not for all studies at once: this reads their trials' rows.
        """
        with self._reading() as session:
            seconds = {row[0]: row[1] for row in session.execute(_seconds(study_ids))}
            counts = session.execute(_candidates(study_ids))
            return {found: (count, float(seconds.get(found) or 0.0)) for found, count in counts}

    @retried
    def waiting(self) -> list[Waiting]:
        """Return what the queued trials of all studies that hand out trials need."""
        groups = (
            select(TrialRow.study_id, func.count().label("trials"), func.min(TrialRow.id).label("example"))
            .join(StudyRow, StudyRow.id == TrialRow.study_id)
            .where(TrialRow.state == "queued", StudyRow.state.in_(CLAIMABLE))
            .group_by(TrialRow.study_id, TrialRow.requires_key)
            .subquery()
        )
        query = select(groups.c.study_id, TrialRow.requires, groups.c.trials)
        with self._reading() as session:
            rows = session.execute(query.join(TrialRow, TrialRow.id == groups.c.example)).tuples()
            return [Waiting(*row) for row in rows]

    @retried
    def running(self) -> list[Running]:
        """Return all trials that run, the longest-running first."""
        columns = (TrialRow.study_id, TrialRow.number, TrialRow.worker, TrialRow.started_at)
        query = select(*columns).where(TrialRow.state == "running").order_by(TrialRow.started_at)
        with self._reading() as session:
            return [Running(*row) for row in session.execute(query).tuples()]

    @retried
    def keep_summary(self, study: Study, summary: Mapping[str, Any]) -> None:
        """Give a study of an earlier tuner the summary that it lacks; it does not count as a change."""
        with self._writing() as session:
            row = study_row(session, study)
            if not row.summary:
                row.summary = dict(summary)


class moment(FunctionElement[float]):  # noqa: N801 - an SQL function is written in small letters
    """A stored time in seconds since 1970."""

    type = Double()
    inherit_cache = True


@compiles(moment, "sqlite")
def _sqlite_moment(element: moment, compiler: Any, **options: Any) -> str:
    return f"((julianday({compiler.process(element.clauses, **options)}) - 2440587.5) * 86400.0)"


@compiles(moment, "postgresql")
def _postgresql_moment(element: moment, compiler: Any, **options: Any) -> str:
    return f"CAST(extract(epoch FROM {compiler.process(element.clauses, **options)}) AS double precision)"


def _candidates(study_ids: Sequence[str]) -> Select[str, int]:
    query = select(TrialRow.study_id, func.count(TrialRow.hash.distinct()))
    query = query.where(TrialRow.study_id.in_(study_ids), TrialRow.state.in_(MEASURED))
    return query.group_by(TrialRow.study_id)


def _seconds(study_ids: Sequence[str]) -> Select[str, float]:
    """Sum what each trial's span adds to the union of those that began before it: wall time that a user spent."""
    started = func.coalesce(TrialRow.started_at, TrialRow.finished_at)
    before = func.max(moment(TrialRow.finished_at)).over(
        partition_by=TrialRow.study_id, order_by=(started, TrialRow.finished_at, TrialRow.id), rows=(None, -1)
    )
    spans = (
        select(
            TrialRow.study_id,
            moment(started).label("begin"),
            moment(TrialRow.finished_at).label("end"),
            before.label("before"),
        )
        .where(TrialRow.study_id.in_(study_ids), TrialRow.state.in_(MEASURED))
        .where(TrialRow.finished_at.is_not(None))
        .subquery()
    )
    fresh_from = case((spans.c.before > spans.c.begin, spans.c.before), else_=spans.c.begin)
    added = case((spans.c.end > fresh_from, spans.c.end - fresh_from), else_=0.0)
    return select(spans.c.study_id, func.sum(added)).group_by(spans.c.study_id)
