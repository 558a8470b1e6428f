"""Trials in the store: queued, started, and looked up. How they end is in `outcomes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from tuner.candidate import Candidate
from tuner.errors import NotFoundError, TunerError
from tuner.store.base import Repository, study_row, touch, trial_row
from tuner.store.columns import now
from tuner.store.convert import measurement_record, trial_record
from tuner.store.hosts import host_id
from tuner.store.models import UNFINISHED, MeasurementRow, TrialRow
from tuner.store.records import Measurement, Study, Trial, TrialState

if TYPE_CHECKING:
    from tuner.hardware import Host


class Trials(Repository):
    """Queue, start and look up trials."""

    def new_trial(
        self, study: Study | str, optuna_number: int | None, candidate: Candidate, seed: bool = False
    ) -> Trial:
        """Queue a candidate under the study's next number; `optuna_number` None: unknown to Optuna."""
        with self._writing() as session:
            study_id = study_row(session, study).id
            last = session.scalar(select(func.max(TrialRow.number)).where(TrialRow.study_id == study_id))
            row = TrialRow(
                study_id=study_id,
                number=0 if last is None else last + 1,
                optuna_number=optuna_number,
                candidate=candidate.canonical(),
                hash=candidate.hash,
                seed=seed,
                state="queued",
                metrics={},
                attempt=0,
            )
            session.add(row)
            touch(session, study_id)
            session.flush()
            session.refresh(row)
            return trial_record(row)

    def start(self, trial_id: str, host: Host | None = None) -> Trial:
        """Note that a queued trial, or one that a dead process left running, starts now; counts the attempt.

        Raises:
            TunerError: it is finished already.
        """
        with self._writing() as session:
            row = trial_row(session, trial_id)
            if row.state not in UNFINISHED:
                raise TunerError(f"trial {row.number} is {row.state} already and cannot start again")
            row.state, row.started_at, row.attempt = "running", now(), row.attempt + 1
            row.host_id = host_id(session, host) or row.host_id
            touch(session, row.study_id)
            session.flush()
            session.refresh(row)
            return trial_record(row)

    def trials(self, study: Study | str, states: tuple[TrialState, ...] | None = None) -> list[Trial]:
        """Return a study's trials by number, all or those in some states."""
        with self._reading() as session:
            query = select(TrialRow).where(TrialRow.study_id == study_row(session, study).id)
            if states is not None:
                query = query.where(TrialRow.state.in_(states))
            return [trial_record(row) for row in session.scalars(query.order_by(TrialRow.number))]

    def unfinished(self, study: Study | str) -> list[Trial]:
        """Return the trials that are queued or running: after a crash, those to run again."""
        return self.trials(study, ("queued", "running"))

    def trial(self, study: Study | str, number: int) -> Trial:
        """Return a study's trial by its number.

        Raises:
            NotFoundError: there is none.
        """
        with self._reading() as session:
            owner = study_row(session, study)
            query = select(TrialRow).where(TrialRow.study_id == owner.id, TrialRow.number == number)
            row = session.scalar(query)
            if row is None:
                raise NotFoundError(f"study {owner.name!r} has no trial {number}")
            return trial_record(row)

    def find_trial(self, study: Study | str, candidate: Candidate | str) -> Trial | None:
        """Return the study's first own (not repeated) trial of this candidate or candidate hash, if any."""
        wanted = candidate if isinstance(candidate, str) else candidate.hash
        with self._reading() as session:
            query = select(TrialRow).where(TrialRow.study_id == study_row(session, study).id)
            query = query.where(TrialRow.hash == wanted, TrialRow.state != "repeated").order_by(
                TrialRow.number
            )
            row = session.scalars(query.limit(1)).first()
            return None if row is None else trial_record(row)

    def measurements(self, trial_id: str) -> list[Measurement]:
        """Return a trial's measurements with their raw samples, in the order they were taken."""
        with self._reading() as session:
            query = select(MeasurementRow).where(MeasurementRow.trial_id == trial_id)
            rows = session.scalars(query.order_by(MeasurementRow.taken_at))
            return [measurement_record(row) for row in rows]
