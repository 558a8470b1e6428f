"""Glance: where all studies stand, by grouped queries over indexed columns. No trial is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, select

from tuner.store.base import Repository, study_row
from tuner.store.columns import clock
from tuner.store.leases import CLAIMABLE
from tuner.store.models import HostRow, StudyRow, TrialRow
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
