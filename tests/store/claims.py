"""Holding what a worker and a coordinator hold, in one line each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select, text

from tuner.store import Store, Study, Trial
from tuner.store.models import Base, TrialRow

LONG = 600.0  # seconds: a lease that does not end in a test


def run(store: Store, study: Study, worker: str = "coordinator", seconds: float = LONG) -> Study:
    """Put a study in state running and return it as its coordinator holds it."""
    return coordinate(store, store.set_study_state(study, "running"), worker, seconds)


def coordinate(store: Store, study: Study, worker: str = "coordinator", seconds: float = LONG) -> Study:
    """Return the study as its coordinator holds it."""
    found = store.claim_study(study.id, worker, seconds)
    assert found is not None, f"study {study.name} is {study.state}, or another one's"
    return found[0]


def claim(
    store: Store, trial: Trial | None = None, worker: str | None = None, seconds: float = LONG, **options: Any
) -> Trial:
    """Return the trial, by default the oldest queued one, as the worker that runs it holds it.

    Each trial that runs at the same time has a worker of its own: `worker`, `worker-2` and so on.
    """
    wanted = None if trial is None else trial.id
    name = worker or next(name for name in _names() if name not in _busy(store))
    found = store.claim_trial(name, lambda requires: True, seconds, trial_id=wanted, **options)
    assert found is not None, "nothing could be claimed"
    return found


def _names() -> Iterator[str]:
    yield "worker"
    yield from (f"worker-{number}" for number in itertools.count(2))


def _busy(store: Store) -> set[str | None]:
    with store.engine.connect() as connection:
        return set(connection.scalars(select(TrialRow.worker).where(TrialRow.state == "running")))


def expire(store: Store, record: Trial | Study) -> None:
    """Let a lease end a minute ago."""
    table = "tuner_trial" if isinstance(record, Trial) else "tuner_study"
    with store.engine.begin() as connection:
        past = text(f"UPDATE {table} SET lease_until = lease_until - 100000 WHERE id = :id")
        connection.execute(past, {"id": record.id})


def snapshot(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables: to see that nothing was written."""
    with store.engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(table.c.id))]
            for table in Base.metadata.sorted_tables
        }
