"""What must hold of a finished study, whatever happened to those who ran it."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import psutil
from sqlalchemy import func, select

from tuner.search.objective import told_values
from tuner.service.points import fronts, shown_points
from tuner.store import Store, Study, Trial
from tuner.store.models import MeasurementRow, StudyRow, TrialRow
from tuner.store.optuna_storage import open_optuna_storage

_TOLD = {"complete": "COMPLETE", "failed": "PRUNED", "pruned": "PRUNED", "cancelled": "FAIL"}


def assert_whole(store: Store, name: str, lost: int | None = 0) -> list[Trial]:
    """Check a finished study and return its own trials, repeats left out.

    `lost` is how often a worker was lost with a trial; None: any number of times.
    """
    study = store.get_study(name)
    assert study.state == "finished", study.meta.get("error")
    trials = store.trials(study)
    own = [t for t in trials if t.state not in ("repeated", "cancelled")]
    _each_ended_once(store, study, own)
    _attempts_are_known(store, study, own, lost)
    _optuna_agrees(store, study, trials)
    _no_lease_is_left(store)
    front = fronts(study, shown_points(study, trials))
    assert study.summary["front"] == sorted(point.trial for point in front)
    return own


def _each_ended_once(store: Store, study: Study, own: list[Trial]) -> None:
    tried_again = {t.retry_of for t in own}
    last = [t for t in own if t.id not in tried_again]
    assert [t.number for t in last if t.state not in ("complete", "failed", "pruned")] == []
    assert {h: n for h, n in Counter(t.hash for t in last).items() if n > 1} == {}
    assert len(last) == study.spec["budget"]["trials"]
    complete = [t for t in own if t.state == "complete"]
    assert all(t.metrics and t.finished_at for t in complete)
    with store.engine.connect() as connection:
        query = select(MeasurementRow.trial_id, func.count()).where(MeasurementRow.kind == "performance")
        query = query.where(MeasurementRow.trial_id.in_([t.id for t in own]))
        written = dict(connection.execute(query.group_by(MeasurementRow.trial_id)).tuples().all())
    assert written == {t.id: 1 for t in complete}  # no result was written twice
    for fingerprint, clock in study.clocks.items():
        seen = [t.reference_ms for t in complete if t.host.fingerprint == fingerprint]
        assert clock == statistics.median(seen)  # no refused result moved it


def _attempts_are_known(store: Store, study: Study, own: list[Trial], lost: int | None) -> None:
    """Each attempt but the last one was noted as lost."""
    events = Counter(e.trial_id for e in store.events(study) if e.kind == "lost")
    assert {t.number: t.attempt for t in own} == {t.number: events[t.id] + (t.kind != "lost") for t in own}
    assert lost is None or events.total() == lost


def _optuna_agrees(store: Store, study: Study, trials: list[Trial]) -> None:
    import optuna

    told = optuna.load_study(study_name=study.optuna_name, storage=open_optuna_storage(store)).trials
    heard = {t.number: t for t in told}
    known = {t.optuna_number for t in trials}
    assert {t.number: t.state.name for t in told if t.number not in known and t.state.name != "FAIL"} == {}
    by_id = {t.id: t for t in trials}
    for trial in trials:
        assert trial.told, f"trial {trial.number} was not told"
        theirs = heard[trial.optuna_number]
        source = by_id[trial.repeat_of] if trial.state == "repeated" else trial
        assert theirs.state.name == _TOLD[source.state], f"trial {trial.number}"
        if source.state == "complete":
            assert theirs.values == told_values(study.spec["objectives"], source.metrics)
    numbers = Counter(t.optuna_number for t in trials)
    assert max(numbers.values()) == 1


def _no_lease_is_left(store: Store) -> None:
    with store.engine.connect() as connection:
        for table in (TrialRow, StudyRow):
            assert connection.scalar(select(func.count()).where(table.lease_until.is_not(None))) == 0
        assert connection.scalar(select(func.count()).where(StudyRow.worker.is_not(None))) == 0


def left_of(pids: Iterable[int] = (), marker: str = "") -> list[str]:
    """Return the living processes of these sessions, and those whose environment holds the marker."""
    sessions, left = set(pids), []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            ours = os.getsid(process.pid) in sessions or (marker and marker in process.environ().values())
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                left.append(f"{process.pid} {process.cmdline()}")
    return left


def noted(name: str, kind: str, seen: str, began: float) -> str:
    """Return a row of the table of faults; `TUNER_FAULT_TABLE` names a file that collects them."""
    row = f"| {name} | {kind} | {seen} | {time.monotonic() - began:.1f} s |"
    if table := os.environ.get("TUNER_FAULT_TABLE"):
        with Path(table).open("a") as stream:
            stream.write(f"{row}\n")
    return row
