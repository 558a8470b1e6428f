"""Trials in the store: queued and looked up. Who runs them is in `leases`, how they end in `outcomes`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select

from tuner.candidate import Candidate
from tuner.errors import NotFoundError
from tuner.store.base import Repository, study_row, touch, trial_row
from tuner.store.convert import measurement_record, trial_record
from tuner.store.leases import held_study
from tuner.store.models import MEASURED, UNFINISHED, MeasurementRow, TrialRow
from tuner.store.records import Measurement, Study, Trial, TrialState
from tuner.store.retry import retried

Span = tuple[str, datetime, datetime]  # candidate hash, start and end of a trial


class Trials(Repository):
    """Queue and look up trials."""

    @retried
    def new_trial(
        self,
        study: Study,
        optuna_number: int | None,
        candidate: Candidate,
        seed: bool = False,
        requires: Mapping[str, Any] | None = None,
        retry_of: str | None = None,
    ) -> Trial:
        """Queue a candidate under the study's next number; `optuna_number` None: unknown to Optuna.

        Raises:
            LeaseLostError: the study is coordinated by another than `study.worker` by now.
        """
        with self._writing() as session:
            held_study(session, study)
            twice = select(TrialRow).where(TrialRow.study_id == study.id, TrialRow.hash == candidate.hash)
            twice = twice.where(TrialRow.optuna_number == optuna_number)
            twice = twice.where(TrialRow.state.not_in(("repeated", "cancelled")))
            if (same := session.scalars(twice).first()) is not None:
                return trial_record(same)  # stored before; only the answer was lost
            last = session.scalar(select(func.max(TrialRow.number)).where(TrialRow.study_id == study.id))
            row = TrialRow(
                study_id=study.id,
                number=0 if last is None else last + 1,
                optuna_number=optuna_number,
                candidate=candidate.canonical(),
                hash=candidate.hash,
                seed=seed,
                state="queued",
                metrics={},
                requires=dict(requires or {}),
                requires_key=_key(requires or {}),
                retry_of=retry_of,
                token=0,
                attempt=0,
                told=False,
            )
            session.add(row)
            touch(session, study.id)
            session.flush()
            session.refresh(row)
            return trial_record(row)

    @retried
    def set_told(self, trial: Trial, optuna_number: int | None, study: Study | None = None) -> None:
        """Note that Optuna has heard how a trial ended, and under which number.

        Raises:
            LeaseLostError: `study`, as it was claimed, is coordinated by another by now, or anew.
        """
        with self._writing() as session:
            if study is not None:
                held_study(session, study)
            row = trial_row(session, trial.id)
            row.told, row.optuna_number = True, optuna_number

    @retried
    def untold(self, study: Study | str) -> list[Trial]:
        """Return the ended trials that Optuna has not heard of, by number."""
        with self._reading() as session:
            query = select(TrialRow).where(TrialRow.study_id == study_row(session, study).id)
            query = query.where(TrialRow.state.not_in(UNFINISHED), TrialRow.told.is_(False))
            return [trial_record(row) for row in session.scalars(query.order_by(TrialRow.number))]

    @retried
    def pulse(self, study: Study | str) -> tuple[dict[str, int], bool]:
        """Return how many trials a study has in each state, and whether Optuna has not heard of one that ended."""
        with self._reading() as session:
            query = select(TrialRow.state, TrialRow.told, func.count()).where(
                TrialRow.study_id == (study if isinstance(study, str) else study.id)
            )
            rows = session.execute(query.group_by(TrialRow.state, TrialRow.told)).tuples().all()
        counts: dict[str, int] = {}
        for state, _, count in rows:
            counts[state] = counts.get(state, 0) + count
        return counts, any(state not in UNFINISHED and not told for state, told, _ in rows)

    def counts(self, study: Study | str) -> dict[str, int]:
        """Return how many trials a study has in each state."""
        return self.pulse(study)[0]

    def spans(self, study: Study | str) -> list[Span]:
        """Return candidate hash, start and end of every trial that counts against the budget."""
        found = study if isinstance(study, str) else study.id
        return self.spans_of([found]).get(found, [])

    @retried
    def spans_of(self, study_ids: Sequence[str]) -> dict[str, list[Span]]:
        """Return the same for several studies, by id; one that has none is missing."""
        columns = (TrialRow.study_id, TrialRow.hash, TrialRow.started_at, TrialRow.finished_at)
        query = select(*columns).where(TrialRow.study_id.in_(study_ids))
        query = query.where(TrialRow.state.in_(MEASURED), TrialRow.finished_at.is_not(None))
        found: dict[str, list[Span]] = {}
        with self._reading() as session:
            for study_id, hashed, start, end in session.execute(query).tuples() if study_ids else ():
                if end is not None:
                    found.setdefault(study_id, []).append((hashed, start or end, end))
        return found

    @retried
    def hashes(self, study: Study | str) -> set[str]:
        """Return the hashes of all candidates that a study has tried or queued."""
        with self._reading() as session:
            query = select(TrialRow.hash).where(
                TrialRow.study_id == (study if isinstance(study, str) else study.id),
                TrialRow.state != "cancelled",
            )
            return set(session.scalars(query.distinct()))

    @retried
    def trials(self, study: Study | str, states: tuple[TrialState, ...] | None = None) -> list[Trial]:
        """Return a study's trials by number, all or those in some states."""
        with self._reading() as session:
            query = select(TrialRow).where(TrialRow.study_id == study_row(session, study).id)
            if states is not None:
                query = query.where(TrialRow.state.in_(states))
            return [trial_record(row) for row in session.scalars(query.order_by(TrialRow.number))]

    @retried
    def own_trials(self, study: Study) -> list[Trial]:
        """Return all trials of a study that its coordinator still holds, by number.

        Raises:
            LeaseLostError: the study is coordinated by another than `study.worker` by now.
        """
        with self._writing() as session:
            held_study(session, study)
            query = select(TrialRow).where(TrialRow.study_id == study.id).order_by(TrialRow.number)
            return [trial_record(row) for row in session.scalars(query)]

    @retried
    def ended_trials(
        self, study: Study | str, states: Sequence[TrialState] = ("complete",), known: Collection[str] = ()
    ) -> list[Trial]:
        """Return a study's trials in some states by number, but for those whose ids are `known`."""
        with self._reading() as session:
            query = select(TrialRow.id).where(TrialRow.state.in_(states))
            query = query.where(TrialRow.study_id == (study if isinstance(study, str) else study.id))
            new = sorted(set(session.scalars(query)) - set(known))
            found = [t for some in _chunks(new) for t in session.scalars(_with_ids(some))]
            return [trial_record(row) for row in sorted(found, key=lambda row: row.number)]

    @retried
    def unfinished(self, study: Study | str) -> list[Trial]:
        """Return the trials that are queued or running: after a crash, those to run again."""
        return self.trials(study, ("queued", "running"))

    @retried
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

    @retried
    def find_trial(self, study: Study | str, candidate: Candidate | str) -> Trial | None:
        """Return the study's latest own trial of this candidate or its hash, if any: no repeat, not cancelled."""
        wanted = candidate if isinstance(candidate, str) else candidate.hash
        with self._reading() as session:
            query = select(TrialRow).where(TrialRow.study_id == study_row(session, study).id)
            query = query.where(TrialRow.hash == wanted, TrialRow.state.not_in(("repeated", "cancelled")))
            query = query.order_by(TrialRow.number.desc())
            row = session.scalars(query.limit(1)).first()
            return None if row is None else trial_record(row)

    @retried
    def measurements(self, trial_id: str) -> list[Measurement]:
        """Return a trial's measurements with their raw samples, in the order they were taken."""
        with self._reading() as session:
            query = select(MeasurementRow).where(MeasurementRow.trial_id == trial_id)
            rows = session.scalars(query.order_by(MeasurementRow.taken_at))
            return [measurement_record(row) for row in rows]


def _chunks(ids: list[str], size: int = 500) -> list[list[str]]:
    return [ids[i : i + size] for i in range(0, len(ids), size)]


def _with_ids(ids: list[str]) -> Select[TrialRow]:
    return select(TrialRow).where(TrialRow.id.in_(ids))


def _key(requires: Mapping[str, Any]) -> str:
    """Return a hash by which trials that need the same are found together."""
    return hashlib.sha256(json.dumps(requires, sort_keys=True).encode()).hexdigest()[:16]
