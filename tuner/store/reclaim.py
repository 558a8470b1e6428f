"""Reclaim: what becomes of trials whose worker was lost: queued again, or failed after so many attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from tuner.errors import LeaseLostError
from tuner.store.base import Repository, study_row, touch, trial_row
from tuner.store.columns import clock, now
from tuner.store.convert import trial_record
from tuner.store.leases import held_trial
from tuner.store.models import EventRow, StudyRow, TrialRow
from tuner.store.records import Trial
from tuner.store.retry import retried


class Reclaim(Repository):
    """Take trials from workers that are gone. `attempts` is for studies that say nothing else (`limits.attempts`)."""

    @retried
    def sweep(self, attempts: int, steady: Callable[[], bool] = lambda: True) -> list[Trial]:
        """Take the trials whose leases ran out, and return them as they are now.

        `steady` says, once there are such, if it is not only the database that was gone.
        """
        with self._reading() as session:
            if session.scalar(_expired().limit(1)) is None or not steady():
                return []
        with self._writing() as session:
            return _taken_all(session, session.execute(_expired()).tuples().all(), _expired(), attempts)

    @retried
    def take_back(self, worker: str, attempts: int) -> list[Trial]:
        """Take the trials and studies that an earlier process of this worker's name left; return the trials."""
        running: Any = select(TrialRow.id, TrialRow.study_id).where(
            TrialRow.worker == worker, TrialRow.state == "running"
        )
        with self._writing() as session:
            found = _taken_all(session, session.execute(running).tuples().all(), running, attempts)
            session.execute(
                update(StudyRow)
                .where(StudyRow.worker == worker)
                .values(lease_until=0.0)  # expired, and so inherited by whoever claims it next
                .execution_options(synchronize_session=False)
            )
            return found

    @retried
    def take_trial(self, trial: Trial, attempts: int) -> Trial | None:
        """Take a trial, as it is known, from a worker that is known to be dead; None if it runs there no more."""
        with self._writing() as session:
            try:
                return _taken(session, held_trial(session, trial), attempts)
            except LeaseLostError:
                return None


def _expired() -> Select[Any]:
    over = TrialRow.lease_until < clock()
    found: Any = select(TrialRow.id, TrialRow.study_id)
    return found.where(TrialRow.state == "running", over)


def _taken_all(
    session: Session, found: Iterable[tuple[str, str]], still: Select[Any], attempts: int
) -> list[Trial]:
    """Take each trial that is `still` to be taken once it is locked: its worker may just have written its result."""
    taken = []
    for trial_id, study_id in found:
        study_row(session, study_id)
        row = trial_row(session, trial_id)
        if session.execute(still.where(TrialRow.id == trial_id)).first() is not None:
            taken.append(_taken(session, row, attempts))
    return taken


def _taken(session: Session, row: TrialRow, attempts: int) -> Trial:
    limits = session.get_one(StudyRow, row.study_id).spec.get("limits") or {}
    lost = f"worker {row.worker} was lost while it ran trial {row.number} (attempt {row.attempt})"
    if row.attempt >= limits.get("attempts", attempts):
        row.state, row.kind, row.finished_at = "failed", "lost", now()
        row.reason = f"{row.attempt} workers were lost while they ran it, the last of them {row.worker}"
    else:
        row.state = "queued"
    row.worker, row.lease_until = None, None
    session.add(EventRow(study_id=row.study_id, trial_id=row.id, kind="lost", message=lost, data={}))
    touch(session, row.study_id)
    session.flush()
    return trial_record(row)
