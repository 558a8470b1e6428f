"""What every repository stands on: sessions that commit or roll back, and failures in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Engine, select
from sqlalchemy.orm import Session

from tuner.errors import NotFoundError
from tuner.store.columns import now
from tuner.store.db import writer
from tuner.store.failures import explained
from tuner.store.models import StudyRow, TrialRow
from tuner.store.records import Study


class Repository:
    """A database and its sessions."""

    def __init__(self, engine: Engine, url: URL) -> None:
        self.engine, self.url = engine, url
        self._writer = writer(engine)

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with explained(self.url), Session(self.engine) as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with explained(self.url), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session


def study_row(session: Session, study: Study | str) -> StudyRow:
    """Return a study's row by record or id.

    Raises:
        NotFoundError: there is none.
    """
    key = study if isinstance(study, str) else study.id
    row = session.get(StudyRow, key)
    if row is None:
        raise NotFoundError(f"no study with id {key}")
    return row


def trial_row(session: Session, trial_id: str) -> TrialRow:
    """Return a trial's row by id.

    Raises:
        NotFoundError: there is none.
    """
    row = session.scalar(select(TrialRow).where(TrialRow.id == trial_id))
    if row is None:
        raise NotFoundError(f"no trial with id {trial_id}")
    return row


def touch(session: Session, study_id: str) -> None:
    """Note that something in the study changed: readers cache by this time."""
    study_row(session, study_id).updated_at = now()
