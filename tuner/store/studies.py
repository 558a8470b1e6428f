"""Studies in the store."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tuner.errors import InputError, NotFoundError
from tuner.store.base import Repository, study_row
from tuner.store.columns import now
from tuner.store.convert import study_record
from tuner.store.hosts import host_id
from tuner.store.models import StudyRow, TrialRow
from tuner.store.records import Study, StudyState

if TYPE_CHECKING:
    from tuner.hardware import Host


class Studies(Repository):
    """Create, find and change studies."""

    def create_study(
        self, spec: Mapping[str, Any], host: Host | None = None, meta: Mapping[str, Any] | None = None
    ) -> Study:
        """Store a new study, in state `running`, under `spec["name"]`; `spec` is plain JSON data.

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
                state="running",
                meta=dict(meta or {}),
                host_id=host_id(session, host),
            )
            session.add(row)
            session.flush()
            session.refresh(row)
            return study_record(row)

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

    def find_study(self, name: str) -> Study | None:
        """Return the study of that name, or None."""
        with self._reading() as session:
            row = session.scalar(select(StudyRow).where(StudyRow.name == name))
            return None if row is None else study_record(row)

    def list_studies(self) -> list[Study]:
        """Return all studies, the one changed last first."""
        with self._reading() as session:
            rows = session.scalars(select(StudyRow).order_by(StudyRow.updated_at.desc(), StudyRow.name))
            return [study_record(row) for row in rows]

    def set_study_state(self, study: Study | str, state: StudyState) -> Study:
        """Change a study's state."""
        with self._writing() as session:
            row = study_row(session, study)
            row.state, row.updated_at = state, now()
            return study_record(row)

    def update_study(
        self, study: Study | str, *, baseline_ms: float | None = None, meta: Mapping[str, Any] | None = None
    ) -> Study:
        """Set what is given; `meta` is merged into what is there, key by key."""
        with self._writing() as session:
            row = study_row(session, study)
            row.baseline_ms = row.baseline_ms if baseline_ms is None else baseline_ms
            row.meta = {**row.meta, **(meta or {})}
            row.updated_at = now()
            return study_record(row)

    def delete_study(self, study: Study | str) -> None:
        """Remove a study with its trials, measurements and events (Optuna's own study is not touched)."""
        with self._writing() as session:
            row = study_row(session, study)
            session.execute(delete(TrialRow).where(TrialRow.study_id == row.id))
            session.delete(row)


def _nearest(session: Session, name: str) -> str:
    names = list(session.scalars(select(StudyRow.name)))
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else "; see `tuner list`"
