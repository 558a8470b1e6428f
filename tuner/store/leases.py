"""Leases: who runs which trial, and who coordinates which study.

A lease is three columns of the row itself: owner, a token that grows with each owner, and an end on the database's
clock. Its owner beats; who falls silent loses it; and each write under it carries the token, so that one who comes back
late (a frozen process, a network that healed) changes nothing (fencing: Kleppmann, "How to do distributed locking").
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Select, or_, select, update
from sqlalchemy.orm import Session

from tuner.errors import InputError, LeaseLostError
from tuner.store.base import Repository, study_row, touch, trial_row
from tuner.store.columns import clock, now
from tuner.store.convert import study_record, trial_record
from tuner.store.hosts import host_id
from tuner.store.models import StudyRow, TrialRow, WorkerRow
from tuner.store.records import Study, StudyState, Trial
from tuner.store.retry import retried

if TYPE_CHECKING:
    from tuner.hardware import Host

#: States of a study in which its trials may be claimed.
CLAIMABLE: tuple[StudyState, ...] = ("running",)
#: States of a study that has something for a coordinator to do.
COORDINATED: tuple[StudyState, ...] = ("queued", "running", "stopping", "confirming")
#: States of a study that ended while trials were queued or ran: a coordinator still tells Optuna how they ended.
CUT_OFF: tuple[StudyState, ...] = ("cancelled", "failed")


@dataclass(frozen=True)
class Lease:
    """What a worker holds: a trial or a study, under a token."""

    kind: Literal["trial", "study"]
    id: str
    worker: str
    token: int


def lease_seconds() -> float:
    """Return how long a lease lasts without a beat: `TUNER_LEASE`, else 30 seconds.

    Raises:
        InputError: `TUNER_LEASE` is no number.
    """
    text = os.environ.get("TUNER_LEASE") or "30"
    try:
        return max(float(text), 0.1)
    except ValueError:
        raise InputError(f"TUNER_LEASE: {text!r} is no number of seconds") from None


def lease_of(record: Trial | Study) -> Lease:
    """Return the lease that a record was claimed under."""
    kind: Literal["trial", "study"] = "trial" if isinstance(record, Trial) else "study"
    return Lease(kind, record.id, record.worker or "", record.token)


class Leases(Repository):
    """Claim, keep, give back and take away."""

    @retried
    def claim_trial(
        self,
        worker: str,
        meets: Callable[[Mapping[str, Any]], bool],
        seconds: float,
        host: Host | None = None,
        study_id: str | None = None,
        trial_id: str | None = None,
    ) -> Trial | None:
        """Give the oldest queued trial whose `requires` is met to a worker for `seconds`; None if there is none.

        It is one statement: of many who ask, each gets another trial. `study_id` or `trial_id` narrow the choice.
        """
        with self._writing() as session:
            queued = _queued(study_id, trial_id)
            keys = session.scalars(queued.with_only_columns(TrialRow.requires_key).distinct()).all()
            keys = [key for key in keys if meets(_requires(session, key))]
            if not keys:
                return None
            oldest = queued.with_only_columns(TrialRow.id).where(TrialRow.requires_key.in_(keys))
            oldest = oldest.order_by(TrialRow.created_at, TrialRow.number).limit(1)
            taken = session.scalar(
                update(TrialRow)
                .where(TrialRow.id == oldest.with_for_update(of=TrialRow, skip_locked=True).scalar_subquery())
                .values(
                    state="running",
                    worker=worker,
                    token=TrialRow.token + 1,
                    attempt=TrialRow.attempt + 1,
                    started_at=now(),
                    host_id=host_id(session, host),
                    lease_until=clock() + seconds,
                )
                .returning(TrialRow.id)
                .execution_options(synchronize_session=False)
            )
            return None if taken is None else _fresh(session, taken)

    @retried
    def release_trial(self, trial: Trial) -> None:
        """Put a claimed trial back into the queue; the attempt does not count.

        Raises:
            LeaseLostError: it is another's by now.
        """
        with self._writing() as session:
            row = held_trial(session, trial)
            row.state, row.worker, row.lease_until, row.attempt = "queued", None, None, row.attempt - 1
            touch(session, row.study_id)

    @retried
    def claim_study(self, study_id: str, worker: str, seconds: float) -> tuple[Study, bool] | None:
        """Make a worker the study's coordinator, unless another one is; None if so, or if there is nothing to do.

        The second value says that an earlier coordinator left without giving its lease back.
        """
        with self._writing() as session:
            row = session.scalar(select(StudyRow).where(StudyRow.id == study_id).with_for_update(of=StudyRow))
            free = or_(StudyRow.worker.is_(None), StudyRow.lease_until < clock())
            if row is None or row.state not in (*COORDINATED, *CUT_OFF):
                return None
            if session.scalar(select(StudyRow.id).where(StudyRow.id == study_id, free)) is None:
                return None
            inherited = row.worker is not None
            row.worker, row.token = worker, row.token + 1
            row.lease_until = clock() + seconds  # computed by the database
            session.flush()
            session.refresh(row)
            return study_record(row), inherited

    @retried
    def release_study(self, study: Study, settled: bool = True) -> None:
        """Give a study's lease back; nothing happens if it is another's by now.

        Not `settled`: something was left half done, and whoever claims it next is told so.
        """
        with self._writing() as session:
            session.execute(
                update(StudyRow)
                .where(
                    StudyRow.id == study.id, StudyRow.worker == study.worker, StudyRow.token == study.token
                )
                .values({"worker": None, "lease_until": None} if settled else {"lease_until": 0.0})
                .execution_options(synchronize_session=False)
            )

    @retried
    def beat(self, worker: str, incarnation: str, leases: list[Lease], seconds: float) -> list[Lease] | None:
        """Say that a worker lives and keep its leases for `seconds` more; return those that it lost.

        None: the worker itself was superseded by another process of its name.
        """
        with self._writing() as session:
            known = session.execute(
                update(WorkerRow)
                .where(WorkerRow.name == worker, WorkerRow.incarnation == incarnation)
                .values(beat_at=clock())
                .returning(WorkerRow.id)
                .execution_options(synchronize_session=False)
            )
            if known.first() is None:
                return None
            return [lease for lease in leases if not _extended(session, lease, seconds)]


def held_trial(session: Session, trial: Trial) -> TrialRow:
    """Return the row of a trial that runs under this lease, locked until the transaction ends.

    Raises:
        LeaseLostError: it is finished, or another's by now.
    """
    study_row(
        session, trial.study_id
    )  # locked first, here as everywhere: two who lock in one order do not deadlock
    row = trial_row(session, trial.id)
    if (row.worker, row.token, row.state) != (trial.worker, trial.token, "running"):
        raise LeaseLostError(
            f"trial {trial.number} is not run by {trial.worker} any more: its result is dropped"
        )
    return row


def held_study(session: Session, study: Study) -> StudyRow:
    """Return the row of a study that is coordinated under this lease, locked until the transaction ends.

    Raises:
        LeaseLostError: another coordinates it by now.
    """
    row = study_row(session, study)
    if (row.worker, row.token) != (study.worker, study.token):
        raise LeaseLostError(f"study {study.name} is not coordinated by {study.worker} any more")
    return row


def _queued(study_id: str | None, trial_id: str | None) -> Select[Any]:
    query = select(TrialRow.id).join(StudyRow, StudyRow.id == TrialRow.study_id)
    query = query.where(TrialRow.state == "queued", StudyRow.state.in_(CLAIMABLE))
    if study_id is not None:
        query = query.where(TrialRow.study_id == study_id)
    return query if trial_id is None else query.where(TrialRow.id == trial_id)


def _requires(session: Session, key: str) -> dict[str, Any]:
    query = select(TrialRow.requires).where(TrialRow.requires_key == key, TrialRow.state == "queued").limit(1)
    return session.scalar(query) or {}


def _extended(session: Session, lease: Lease, seconds: float) -> bool:
    table = TrialRow if lease.kind == "trial" else StudyRow
    held = [table.id == lease.id, table.worker == lease.worker, table.token == lease.token]
    if lease.kind == "trial":
        held.append(TrialRow.state == "running")
    found = session.execute(
        update(table)
        .where(*held)
        .values(lease_until=clock() + seconds)
        .returning(table.id)
        .execution_options(synchronize_session=False)
    )
    return found.first() is not None


def _fresh(session: Session, trial_id: str) -> Trial:
    row = session.get_one(TrialRow, trial_id)
    # `touch` would wait for the study's lock while holding the trial's: the wrong order. Who holds it touches it.
    free = (
        select(StudyRow.id).where(StudyRow.id == row.study_id).with_for_update(of=StudyRow, skip_locked=True)
    )
    session.execute(
        update(StudyRow)
        .where(StudyRow.id == free.scalar_subquery())
        .values(updated_at=now())
        .execution_options(synchronize_session=False)
    )
    return trial_record(row)
