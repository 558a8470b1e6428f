"""Cells: trials as flat columns, for screens that show thousands of them and ask again every two seconds.

The records of `trials.py` build a candidate and every estimate as a checked object; a table of ten thousand rows needs
none of that, and after the first look only what changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select

from tuner.store.base import Repository
from tuner.store.columns import now
from tuner.store.convert import event_record
from tuner.store.models import UNFINISHED, ArtefactRow, EventRow, HostRow, StageRunRow, StudyRow, TrialRow
from tuner.store.records import Event
from tuner.store.retry import retried

#: Rows are written by several hosts whose clocks differ: what is that much older than the last look is read again.
_SLACK = timedelta(minutes=2)


class Cell(NamedTuple):
    """One trial as it is stored, its JSON unchecked. `host` is a fingerprint."""

    id: str
    number: int
    state: str
    kind: str | None
    reason: str | None
    seed: bool
    candidate: dict[str, Any]
    metrics: dict[str, Any]
    confirmed: dict[str, Any] | None
    ratio: dict[str, Any] | None
    confirmed_ratio: dict[str, Any] | None
    artefact_key: str | None
    worker: str | None
    attempt: int
    discard_reason: str | None
    discarded_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    host: str | None
    host_name: str | None


class StageCost(NamedTuple):
    """What a stage took over many trials: runs, seconds of those, hits, and seconds that the hits took."""

    name: str
    runs: int
    run_seconds: float
    hits: int
    hit_seconds: float


class StageSample(NamedTuple):
    """One run of a stage that nothing was cached for; `model` as its study names it, `host` a fingerprint."""

    name: str
    seconds: float
    engine: str
    model: dict[str, Any]
    host: str | None


class Cells(Repository):
    """Read trials, stages and events by column."""

    @retried
    def cells(self, study_id: str, seen: datetime | None = None) -> list[Cell]:
        """Return a study's trials by number: all, or those that changed since the last look or may still change."""
        query = select(
            *(getattr(TrialRow, name) for name in Cell._fields[:-2]), HostRow.fingerprint, HostRow.name
        )
        query = query.outerjoin(HostRow, HostRow.id == TrialRow.host_id).where(TrialRow.study_id == study_id)
        if seen is not None:
            times = (TrialRow.created_at, TrialRow.finished_at, TrialRow.confirmed_at, TrialRow.discarded_at)
            recent = [column >= seen - _SLACK for column in times]
            query = query.where(or_(TrialRow.state.in_(UNFINISHED), *recent))
        with self._reading() as session:
            rows = session.execute(query.order_by(TrialRow.number)).all()
            return [Cell._make(row) for row in rows]

    @retried
    def stage_costs(self, study_id: str | None = None) -> list[StageCost]:
        """Return what each stage took, of one study or of all, the most expensive first."""
        seconds = func.coalesce(func.sum(StageRunRow.seconds), 0.0)
        query = select(StageRunRow.name, StageRunRow.hit, func.count(), seconds).where(StageRunRow.key != "")
        if study_id is not None:
            query = query.join(TrialRow, TrialRow.id == StageRunRow.trial_id).where(
                TrialRow.study_id == study_id
            )
        found: dict[str, list[float]] = {}
        with self._reading() as session:
            for name, hit, count, total in session.execute(query.group_by(StageRunRow.name, StageRunRow.hit)):
                sums = found.setdefault(name, [0, 0.0, 0, 0.0])
                sums[2 if hit else 0] += count
                sums[3 if hit else 1] += total
        costs = [StageCost(name, int(r), s, int(h), t) for name, (r, s, h, t) in found.items()]
        return sorted(costs, key=lambda cost: -cost.run_seconds)

    @retried
    def measured_hosts(self) -> list[tuple[str, str, str]]:
        """Return study, fingerprint and name of every host that measured a trial of it."""
        query = select(StudyRow.name, HostRow.fingerprint, HostRow.name).distinct()
        query = query.join(TrialRow, TrialRow.study_id == StudyRow.id).join(
            HostRow, HostRow.id == TrialRow.host_id
        )
        with self._reading() as session:
            found = session.execute(query.where(TrialRow.state == "complete")).tuples().all()
            return sorted((study, fingerprint, name) for study, fingerprint, name in found)

    @retried
    def stage_samples(self, limit: int = 5000) -> list[StageSample]:
        """Return the last runs of stages in trials that were measured, hits left out, of all studies."""
        query = select(
            StageRunRow.name, StageRunRow.seconds, TrialRow.candidate, TrialRow.study_id, HostRow.fingerprint
        )
        query = query.join(TrialRow, TrialRow.id == StageRunRow.trial_id)
        query = query.outerjoin(HostRow, HostRow.id == TrialRow.host_id)
        query = query.where(StageRunRow.hit.is_(False), TrialRow.state == "complete")
        with self._reading() as session:
            rows = session.execute(query.order_by(TrialRow.finished_at.desc()).limit(limit)).tuples().all()
            ids = {row[3] for row in rows}
            specs = session.execute(select(StudyRow.id, StudyRow.spec).where(StudyRow.id.in_(ids))).tuples()
            models = {study: dict(spec["model"]) for study, spec in specs}
        return [
            StageSample(name, seconds, candidate["backend"]["engine"], models[study], host)
            for name, seconds, candidate, study, host in rows
        ]

    @retried
    def stages_of(self, trial_ids: Sequence[str]) -> list[tuple[str, str, bool, float]]:
        """Return trial id, name, hit and seconds of the stages of some trials (1000 at most), in their order.

        Of a running trial those that began so far; the last one still runs.
        """
        query = select(StageRunRow.trial_id, StageRunRow.name, StageRunRow.hit, StageRunRow.seconds)
        query = query.where(StageRunRow.trial_id.in_(list(trial_ids)[:1000]))
        with self._reading() as session:
            rows = session.execute(query.order_by(StageRunRow.trial_id, StageRunRow.position)).tuples()
            return list(rows)

    @retried
    def recent_events(self, study_id: str | None = None, limit: int = 300) -> list[Event]:
        """Return the last events of one study, or of all, the newest first."""
        query = select(EventRow).order_by(EventRow.at.desc()).limit(limit)
        if study_id is not None:
            query = query.where(EventRow.study_id == study_id)
        with self._reading() as session:
            return [event_record(row) for row in session.scalars(query)]

    @retried
    def artefact_bytes(self) -> tuple[int, int]:
        """Return how many artefacts the database knows, and how many bytes they are together."""
        with self._reading() as session:
            count, size = session.execute(select(func.count(), func.sum(ArtefactRow.size_bytes))).one()
            return count, int(size or 0)

    @retried
    def queue(self) -> list[tuple[str, str, str, int]]:
        """Return study, its state, state of trials and their number, for all that is queued or runs."""
        query = (
            select(StudyRow.name, StudyRow.state, TrialRow.state, func.count())
            .join(StudyRow, StudyRow.id == TrialRow.study_id)
            .where(TrialRow.state.in_(UNFINISHED))
            .group_by(StudyRow.name, StudyRow.state, TrialRow.state)
        )
        with self._reading() as session:
            return [(a, b, c, d) for a, b, c, d in session.execute(query)]

    def looked_at(self) -> datetime:
        """Return the moment to hand to `cells` at the next look."""
        return now()
