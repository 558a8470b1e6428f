"""Events and artefacts in the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tuner.errors import NotFoundError
from tuner.store.base import Repository
from tuner.store.columns import now, plain
from tuner.store.convert import artefact_record, event_record
from tuner.store.hosts import host_id
from tuner.store.models import ArtefactRow, EventRow, StageRunRow, TrialRow
from tuner.store.records import Artefact, Event, Study
from tuner.store.retry import retried

if TYPE_CHECKING:
    from tuner.hardware import Host


class Journal(Repository):
    """What happened, and which artefacts lie in the cache."""

    @retried
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
                study_id=study_id,
                trial_id=trial_id,
                kind=kind,
                message=plain(message) or "",
                data=dict(data or {}),
            )
            session.add(row)
            session.flush()
            return event_record(row)

    @retried
    def events(self, study: Study | str | None = None) -> list[Event]:
        """Return the events of one study, or all, oldest first."""
        query = select(EventRow).order_by(EventRow.at)
        if study is not None:
            query = query.where(EventRow.study_id == (study.id if isinstance(study, Study) else study))
        with self._reading() as session:
            return [event_record(row) for row in session.scalars(query)]

    @retried
    def record_artefact(self, artefact: Artefact, host: Host | None = None) -> Artefact:
        """Store an artefact of a host's cache under its key, or note that it was used again."""
        with self._writing() as session:
            return artefact_record(note_artefact(session, artefact, host_id(session, host)))

    @retried
    def artefact(self, key: str) -> Artefact:
        """Return an artefact by key.

        Raises:
            NotFoundError: there is none.
        """
        with self._reading() as session:
            row = session.scalars(select(ArtefactRow).where(ArtefactRow.key == key)).first()
            if row is None:
                raise NotFoundError(f"no artefact with key {key}")
            return artefact_record(row)

    @retried
    def artefacts(self) -> list[Artefact]:
        """Return all artefacts, the one longest unused first."""
        with self._reading() as session:
            rows = session.scalars(select(ArtefactRow).order_by(ArtefactRow.last_used_at))
            return [artefact_record(row) for row in rows]

    @retried
    def forget_artefact(self, key: str, host: Host) -> None:
        """Remove the row of an artefact that is gone from a host's cache."""
        with self._writing() as session:
            at = host_id(session, host)
            session.execute(delete(ArtefactRow).where(ArtefactRow.key == key, ArtefactRow.host_id == at))

    @retried
    def referenced_keys(self) -> set[str]:
        """Return the keys of all stages and artefacts that a trial of a stored study names."""
        with self._reading() as session:
            stages = session.scalars(select(StageRunRow.key).where(StageRunRow.key != "").distinct()).all()
            built = session.scalars(select(TrialRow.artefact_key).where(TrialRow.artefact_key.is_not(None)))
            return {*stages, *(key for key in built if key)}


def note_artefact(session: Session, artefact: Artefact, at: str | None) -> ArtefactRow:
    """Write an artefact of the cache of the host row `at` down, used now; return its row."""
    key = artefact.key
    row = session.scalar(select(ArtefactRow).where(ArtefactRow.key == key, ArtefactRow.host_id == at))
    if row is None:
        row = ArtefactRow(key=key, host_id=at)
        session.add(row)
    row.kind, row.path, row.sha256 = artefact.kind, artefact.path, artefact.sha256
    row.size_bytes, row.last_used_at = artefact.size_bytes, now()
    session.flush()
    return row
