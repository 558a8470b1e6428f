"""The Python face: run a study, load one, look at its front, pick a point and export it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuner.service.events import Listener
from tuner.service.handle import StudyHandle
from tuner.service.rows import StudySummary
from tuner.spec.load import load_spec
from tuner.store import Store


def run(
    study: str | Path,
    *,
    trials: int | None = None,
    timeout_s: float | None = None,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    db: str | None = None,
    on_event: Listener | None = None,
) -> StudyHandle:
    """Run a study file, or go on with it where it stopped, and return its confirmed front.

    Args:
        study: path of the study file.
        trials: distinct candidates to measure; overrides `budget.trials`.
        timeout_s: seconds to search; overrides `budget.minutes`.
        seed: overrides `seed`.
        overrides: `key=value` settings by dotted path, such as `measure.seconds=4`.
        db: database URL; the default is `TUNER_DB`, then a SQLite file in the tuner's home.
        on_event: called with each `Event` as it happens.

    Raises:
        InputError: the study file, the data or the model cannot be used.
        TunerError: the disk is full or the database cannot be written; what was measured is kept.
    """
    from tuner.service.run import run_study

    spec = load_spec(
        study, [*overrides, *_budget(trials, timeout_s), *([] if seed is None else [f"seed={seed}"])]
    )
    with Store.open(db) as store:
        stored = run_study(spec, store, on_event)
        handle = StudyHandle.of(store, stored, db)
    handle.plot(handle.default_plot)
    return handle


def load(name: str, db: str | None = None) -> StudyHandle:
    """Return a stored study.

    Raises:
        NotFoundError: there is none of that name.
    """
    with Store.open(db) as store:
        return StudyHandle.of(store, store.get_study(name), db)


def list_studies(db: str | None = None) -> list[StudySummary]:
    """Return every stored study in one line each, the last changed first."""
    with Store.open(db) as store:
        return [StudyHandle.of(store, study, db).summary() for study in store.list_studies()]


def _budget(trials: int | None, timeout_s: float | None) -> list[str]:
    settings: dict[str, Any] = {"budget.trials": trials}
    settings["budget.minutes"] = None if timeout_s is None else timeout_s / 60
    return [f"{key}={value}" for key, value in settings.items() if value is not None]
