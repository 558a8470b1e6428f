"""What every repository stands on: sessions that commit or roll back, and failures in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import URL, Engine, select
from sqlalchemy.orm import Session

from tuner.errors import NotFoundError
from tuner.store.columns import now
from tuner.store.db import writer, writing_turn
from tuner.store.failures import explained
from tuner.store.home import is_sqlite
from tuner.store.models import StudyRow, TrialRow
from tuner.store.records import Study

Row = TypeVar("Row", StudyRow, TrialRow)


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
        # SQLite lets one writer in at a time. A server lets them all in: rows that are read to be changed are locked.
        session = Session(self._writer, expire_on_commit=False, info={"locks": not is_sqlite(self.url)})
        with explained(self.url), writing_turn(self.url), session, session.begin():
            yield session


def study_row(session: Session, study: Study | str) -> StudyRow:
    """Return a study's row by record or id, in a writing session locked until the transaction ends.

    Raises:
        NotFoundError: there is none.
    """
    key = study if isinstance(study, str) else study.id
    row = _row(session, StudyRow, key)
    if row is None:
        raise NotFoundError(f"no study with id {key}")
    return row


def trial_row(session: Session, trial_id: str) -> TrialRow:
    """Return a trial's row by id, in a writing session locked until the transaction ends.

    Raises:
        NotFoundError: there is none.
    """
    row = _row(session, TrialRow, trial_id)
    if row is None:
        raise NotFoundError(f"no trial with id {trial_id}")
    return row


def _row(session: Session, table: type[Row], key: str) -> Row | None:
    if not session.info.get("locks"):
        return session.get(table, key)
    # FOR NO KEY UPDATE: rows that refer to this one may go on being inserted. What the session read of it before
    # may be old by the time that the lock is had.
    query = select(table).where(table.id == key).with_for_update(of=table, key_share=True)
    return session.scalar(query.execution_options(populate_existing=True))


def touch(session: Session, study_id: str) -> None:
    """Note that something in the study changed: readers cache by this time."""
    study_row(session, study_id).updated_at = now()
