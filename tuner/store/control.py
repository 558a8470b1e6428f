"""What a person asks of a study: pause, resume, stop, cancel; and of a trial: try again, leave out."""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tuner.errors import InputError, NotFoundError
from tuner.store.base import Repository, study_row, touch, trial_row
from tuner.store.columns import now, plain
from tuner.store.convert import study_record, trial_record
from tuner.store.models import UNFINISHED, EventRow, StudyRow, TrialRow
from tuner.store.records import Study, StudyState, Trial
from tuner.store.retry import retried

_OPEN = ("queued", "running", "confirming", "stopping", "paused")


class Control(Repository):
    """Change what workers and coordinators find at their next look. Each call is one transaction."""

    @retried
    def pause(self, study: Study | str) -> Study:
        """Hand out no more trials; what runs comes to its end.

        Raises:
            InputError: the study is over.
        """
        with self._writing() as session:
            row = study_row(session, study)
            _require(row, _OPEN, "be paused")
            return _turned(session, row, "paused")

    @retried
    def resume(self, study: Study | str) -> Study:
        """Let a study go on that was paused, stopped or cancelled, or that failed.

        Raises:
            InputError: it is finished.
        """
        with self._writing() as session:
            row = study_row(session, study)
            _require(row, (*_OPEN, "interrupted", "cancelled", "failed"), "go on")
            return _going_on(session, row)

    @retried
    def reopen(self, study: Study | str) -> Study:
        """Let a study go on whatever its state: its budget may have grown, or a trial is to be tried again."""
        with self._writing() as session:
            row = study_row(session, study)
            return _going_on(session, row)

    @retried
    def stop(self, study: Study | str) -> Study:
        """Drain: hand out no more trials, and be `interrupted` once what runs has come to its end.

        Raises:
            InputError: the study is over.
        """
        with self._writing() as session:
            row = study_row(session, study)
            _require(row, _OPEN, "be stopped")
            return _turned(session, row, "stopping" if _busy(session, row) else "interrupted")

    @retried
    def drained(self, study: Study | str) -> Study:
        """Turn a stopping study into an interrupted one if nothing of it runs any more; return it."""
        with self._writing() as session:
            row = study_row(session, study)
            if row.state == "stopping" and not _busy(session, row):
                return _turned(session, row, "interrupted")
            return study_record(row)

    @retried
    def cancel(self, study: Study | str) -> Study:
        """End a study now: what is queued or runs is cancelled, and whoever runs it finds its lease gone.

        Raises:
            InputError: the study is over.
        """
        with self._writing() as session:
            row = study_row(session, study)
            _require(row, _OPEN, "be cancelled")
            session.execute(
                update(TrialRow)
                .where(TrialRow.study_id == row.id, TrialRow.state.in_(UNFINISHED))
                .values(
                    state="cancelled",
                    kind="cancelled",
                    reason="the study was cancelled",
                    finished_at=now(),
                    worker=None,
                    lease_until=None,
                    token=TrialRow.token + 1,
                )
                .execution_options(synchronize_session=False)
            )
            row.worker, row.lease_until, row.token = None, None, row.token + 1
            return _turned(session, row, "cancelled")

    @retried
    def retry_trial(self, study: Study | str, number: int) -> Trial:
        """Queue a failed trial's candidate again under a new number, and let the study go on.

        Raises:
            NotFoundError: there is no such trial.
            InputError: it did not fail.
        """
        with self._writing() as session:
            owner = study_row(session, study)
            old = _numbered(session, owner, number)
            again = select(TrialRow).where(TrialRow.retry_of == old.id, TrialRow.state.in_(UNFINISHED))
            if (queued := session.scalars(again).first()) is not None:
                return trial_record(queued)
            if old.state not in ("failed", "cancelled", "pruned"):
                raise InputError(
                    f"trial {number} of {owner.name!r} is {old.state}: only a failed one is tried again"
                )
            last = session.scalar(select(func.max(TrialRow.number)).where(TrialRow.study_id == owner.id))
            row = TrialRow(
                study_id=owner.id,
                number=(last or 0) + 1,
                **{
                    name: getattr(old, name)
                    for name in ("candidate", "hash", "seed", "requires", "requires_key")
                },
                state="queued",
                metrics={},
                retry_of=old.id,
                token=0,
                attempt=0,
                told=False,
            )
            session.add(row)
            if owner.state not in ("running", "paused"):
                _turned(session, owner, "running")
            touch(session, owner.id)
            session.flush()
            session.refresh(row)
            return trial_record(row)

    @retried
    def discard_trial(self, study: Study | str, number: int, why: str) -> Trial:
        """Take a trial out of front and sampler, on record with the reason. Optuna's view is made anew without it.

        Raises:
            NotFoundError: there is no such trial.
            InputError: it runs.
        """
        with self._writing() as session:
            owner = study_row(session, study)
            row = _numbered(session, owner, number)
            if row.state in UNFINISHED:
                raise InputError(
                    f"trial {number} of {owner.name!r} is {row.state}: stop the study first, or wait"
                )
            row.discarded_at, row.discard_reason = now(), plain(why)
            owner.epoch += 1  # Optuna keeps what it was told for ever: its next study hears all but these
            owner.token += 1  # who looks at it now has the old view
            owner.worker, owner.lease_until = None, None
            session.execute(
                update(TrialRow)
                .where(TrialRow.study_id == owner.id, TrialRow.discarded_at.is_(None))
                .values(told=False, optuna_number=None)
                .execution_options(synchronize_session=False)
            )
            row.told, row.optuna_number = True, None
            touch(session, owner.id)
            session.add(_event(owner, "discarded", f"trial {number} was discarded: {why}"))
            session.flush()
            return trial_record(row)


def _require(row: StudyRow, states: tuple[str, ...], what: str) -> None:
    if row.state not in states:
        remedy = "; run it with a larger budget to go on" if what == "go on" else ""
        raise InputError(f"study {row.name!r} is {row.state} and cannot {what}{remedy}")


def _going_on(session: Session, row: StudyRow) -> Study:
    if row.state in ("queued", "running", "confirming"):
        return study_record(row)
    return _turned(session, row, "running" if row.meta.get("anatomy") else "queued")


def _turned(session: Session, row: StudyRow, state: StudyState) -> Study:
    row.state, row.updated_at = state, now()
    session.add(_event(row, state, f"study {row.name} is {state}"))
    session.flush()
    return study_record(row)


def _event(row: StudyRow, kind: str, message: str) -> EventRow:
    return EventRow(study_id=row.id, kind=kind, message=plain(message) or "", data={})


def _busy(session: Session, row: StudyRow) -> bool:
    running = select(TrialRow.id).where(TrialRow.study_id == row.id, TrialRow.state == "running").limit(1)
    return session.scalar(running) is not None


def _numbered(session: Session, owner: StudyRow, number: int) -> TrialRow:
    query = select(TrialRow.id).where(TrialRow.study_id == owner.id, TrialRow.number == number)
    found = session.scalar(query)
    if found is None:
        raise NotFoundError(f"study {owner.name!r} has no trial {number}")
    return trial_row(session, found)
