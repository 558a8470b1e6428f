"""Studies in the store."""

from __future__ import annotations

import difflib
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.orm import Session

from tuner.errors import InputError, NotFoundError
from tuner.store.base import Repository, study_row
from tuner.store.columns import now
from tuner.store.convert import study_record
from tuner.store.hosts import host_id
from tuner.store.leases import COORDINATED, CUT_OFF, held_study
from tuner.store.models import UNFINISHED, StudyRow, TrialRow
from tuner.store.records import Study, StudyState, Trial
from tuner.store.retry import retried

if TYPE_CHECKING:
    from tuner.hardware import Host


class Studies(Repository):
    """Create, find and change studies."""

    @retried
    def create_study(
        self, spec: Mapping[str, Any], host: Host | None = None, meta: Mapping[str, Any] | None = None
    ) -> Study:
        """Store a new study, in state `queued`, under `spec["name"]`; `spec` is plain JSON data.

        Raises:
            InputError: a study of that name exists.
        """
        name = str(spec["name"])
        with self._writing() as session:
            if session.scalar(select(StudyRow.id).where(StudyRow.name == name)):
                raise InputError(f"a study named {name!r} exists already; choose another name")
            row = StudyRow(
                name=name,
                spec=dict(spec),
                state="queued",
                clocks={},
                meta=dict(meta or {}),
                summary={},
                epoch=0,
                token=0,
                host_id=host_id(session, host),
            )
            session.add(row)
            session.flush()
            session.refresh(row)
            return study_record(row)

    @retried
    def get_study(self, name: str) -> Study:
        """Return the study of that name.

        Raises:
            NotFoundError: there is none; the message names the nearest.
        """
        with self._reading() as session:
            row = session.scalar(select(StudyRow).where(StudyRow.name == name))
            if row is None:
                raise NotFoundError(f"no study named {name!r}{_nearest(session, name)}")
            return study_record(row)

    @retried
    def find_study(self, name: str) -> Study | None:
        """Return the study of that name, or None."""
        with self._reading() as session:
            row = session.scalar(select(StudyRow).where(StudyRow.name == name))
            return None if row is None else study_record(row)

    @retried
    def study_of(self, trial: Trial) -> Study:
        """Return the study that a trial belongs to."""
        with self._reading() as session:
            return study_record(study_row(session, trial.study_id))

    @retried
    def list_studies(self) -> list[Study]:
        """Return all studies, the one changed last first."""
        with self._reading() as session:
            rows = session.scalars(select(StudyRow).order_by(StudyRow.updated_at.desc(), StudyRow.name))
            return [study_record(row) for row in rows]

    @retried
    def studies_in(self, states: Sequence[StudyState]) -> list[Study]:
        """Return the studies in some states, the oldest first."""
        with self._reading() as session:
            query = select(StudyRow).where(StudyRow.state.in_(states)).order_by(StudyRow.created_at)
            return [study_record(row) for row in session.scalars(query)]

    @retried
    def open_studies(self, name: str | None = None) -> list[Study]:
        """Return the studies that have something for a coordinator, the oldest first; `name`: only that one."""
        untold = exists().where(
            TrialRow.study_id == StudyRow.id, TrialRow.state.not_in(UNFINISHED), TrialRow.told.is_(False)
        )
        query = select(StudyRow).where(
            or_(StudyRow.state.in_(COORDINATED), StudyRow.state.in_(CUT_OFF) & untold)
        )
        query = query if name is None else query.where(StudyRow.name == name)
        with self._reading() as session:
            return [study_record(row) for row in session.scalars(query.order_by(StudyRow.created_at))]

    @retried
    def set_study_state(self, study: Study | str, state: StudyState) -> Study:
        """Change a study's state."""
        with self._writing() as session:
            row = study_row(session, study)
            row.state, row.updated_at = state, now()
            return study_record(row)

    @retried
    def replan(self, study: Study, sections: Mapping[str, Any]) -> Study:
        """Replace whole sections of a study's specification: those that may change between two runs of it."""
        with self._writing() as session:
            row = study_row(session, study)
            row.spec = {**row.spec, **sections}
            return study_record(row)

    @retried
    def move_study(
        self,
        study: Study,
        state: StudyState | None = None,
        host: Host | None = None,
        meta: Mapping[str, Any] | None = None,
        summary: Mapping[str, Any] | None = None,
    ) -> Study:
        """Set what is given, as the study's coordinator; `meta` is merged into what is there, key by key.

        A state that a person changed in the meantime (paused, stopping, cancelled) is left as it is.

        Raises:
            LeaseLostError: the study is coordinated by another than `study.worker` by now.
        """
        with self._writing() as session:
            row = held_study(session, study)
            if state is not None and row.state == study.state:
                row.state = state
            row.meta = {**row.meta, **(meta or {})}
            row.summary = dict(summary) if summary is not None else row.summary
            row.host_id = host_id(session, host) or row.host_id
            row.updated_at = now()
            session.flush()
            session.refresh(row)
            return study_record(row)

    @retried
    def clock_with(self, study: Study | str, host: Host | str, reference_ms: float) -> float:
        """Return the baseline's median on a host in ms: of what all the study's trials saw, and this newest one."""
        with self._reading() as session:
            seen = select(TrialRow.reference_ms).where(
                TrialRow.study_id == (study if isinstance(study, str) else study.id),
                TrialRow.state == "complete",
                TrialRow.host_id == host_id(session, host),
                TrialRow.reference_ms.is_not(None),
            )
            return statistics.median([*(x for x in session.scalars(seen) if x is not None), reference_ms])

    @retried
    def delete_study(self, study: Study | str) -> None:
        """Remove a study with its trials, measurements and events (Optuna's own study is not touched)."""
        with self._writing() as session:
            row = study_row(session, study)
            session.execute(
                update(TrialRow).where(TrialRow.study_id == row.id).values(repeat_of=None, retry_of=None)
            )
            session.execute(delete(TrialRow).where(TrialRow.study_id == row.id))
            session.delete(row)


def _nearest(session: Session, name: str) -> str:
    names = list(session.scalars(select(StudyRow.name)))
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else "; see `tuner list`"
