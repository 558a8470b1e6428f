"""Workers in the store: who they are, what they can do, and when they were last heard of."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from tuner.store.base import Repository
from tuner.store.columns import clock, now
from tuner.store.convert import worker_record
from tuner.store.hosts import host_id
from tuner.store.models import WorkerRow
from tuner.store.records import Worker
from tuner.store.retry import retried

if TYPE_CHECKING:
    from tuner.hardware import Host


class Workers(Repository):
    """Sign on, sign off, and look who is there."""

    @retried
    def sign_on(self, name: str, pid: int, capabilities: Mapping[str, Any], host: Host) -> Worker:
        """Note that a worker starts; an earlier one of this name is superseded by it."""
        with self._writing() as session:
            row = session.scalar(
                select(WorkerRow).where(WorkerRow.name == name).with_for_update(of=WorkerRow)
            )
            if row is None:
                row = WorkerRow(name=name, beat_at=0.0)
                session.add(row)
            row.incarnation, row.pid, row.capabilities = str(uuid.uuid4()), pid, dict(capabilities)
            row.host_id, row.started_at, row.stopped_at = host_id(session, host), now(), None
            session.flush()
            session.execute(
                update(WorkerRow)
                .where(WorkerRow.id == row.id)
                .values(beat_at=clock())
                .execution_options(synchronize_session=False)
            )
            session.refresh(row)
            return worker_record(row, row.beat_at)

    @retried
    def sign_off(self, worker: Worker) -> None:
        """Note that a worker left in good order."""
        with self._writing() as session:
            session.execute(
                update(WorkerRow)
                .where(WorkerRow.name == worker.name, WorkerRow.incarnation == worker.incarnation)
                .values(stopped_at=now())
                .execution_options(synchronize_session=False)
            )

    @retried
    def workers(self) -> list[Worker]:
        """Return all workers that are remembered, by name."""
        with self._reading() as session:
            time = session.scalar(select(clock())) or 0.0
            return [
                worker_record(r, time) for r in session.scalars(select(WorkerRow).order_by(WorkerRow.name))
            ]

    @retried
    def find_worker(self, name: str) -> Worker | None:
        """Return the worker of that name, if one is remembered."""
        return next((worker for worker in self.workers() if worker.name == name), None)

    @retried
    def forget_workers(self, silent_s: float) -> int:
        """Remove workers that were not heard of for so many seconds, and return how many."""
        with self._writing() as session:
            old = delete(WorkerRow).where(WorkerRow.beat_at < clock() - silent_s).returning(WorkerRow.id)
            return len(session.execute(old).all())
