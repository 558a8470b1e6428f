"""Events and artefacts in the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select

from tuner.errors import NotFoundError
from tuner.store.base import Repository
from tuner.store.columns import now
from tuner.store.convert import artefact_record, event_record
from tuner.store.models import ArtefactRow, EventRow
from tuner.store.records import Artefact, Event, Study


class Journal(Repository):
    """What happened, and which artefacts lie in the cache."""

    def add_event(
        self,
        kind: str,
        message: str,
        study: Study | str | None = None,
        trial_id: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Event:
        """Write down what a person would want to read afterwards."""
        study_id = study.id if isinstance(study, Study) else study
        with self._writing() as session:
            row = EventRow(
                study_id=study_id, trial_id=trial_id, kind=kind, message=message, data=dict(data or {})
            )
            session.add(row)
            session.flush()
            return event_record(row)

    def events(self, study: Study | str | None = None) -> list[Event]:
        """Return the events of one study, or all, oldest first."""
        query = select(EventRow).order_by(EventRow.at)
        if study is not None:
            query = query.where(EventRow.study_id == (study.id if isinstance(study, Study) else study))
        with self._reading() as session:
            return [event_record(row) for row in session.scalars(query)]

    def record_artefact(self, key: str, kind: str, path: Path | str, size_bytes: int) -> Artefact:
        """Store an artefact under its key, or note that it was used again."""
        with self._writing() as session:
            row = session.scalar(select(ArtefactRow).where(ArtefactRow.key == key))
            if row is None:
                row = ArtefactRow(key=key)
                session.add(row)
            row.kind, row.path, row.size_bytes, row.last_used_at = kind, str(path), size_bytes, now()
            session.flush()
            return artefact_record(row)

    def artefact(self, key: str) -> Artefact:
        """Return an artefact by key.

        Raises:
            NotFoundError: there is none.
        """
        with self._reading() as session:
            row = session.scalar(select(ArtefactRow).where(ArtefactRow.key == key))
            if row is None:
                raise NotFoundError(f"no artefact with key {key}")
            return artefact_record(row)

    def artefacts(self) -> list[Artefact]:
        """Return all artefacts, the one longest unused first."""
        with self._reading() as session:
            rows = session.scalars(select(ArtefactRow).order_by(ArtefactRow.last_used_at))
            return [artefact_record(row) for row in rows]
