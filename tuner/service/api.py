"""The Python face: run a study or submit it, steer it, look where it stands, and load its front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tuner.service import steering
from tuner.service.events import Listener
from tuner.service.overview import read_overview
from tuner.spec.model import StudySpec
from tuner.store import Store

if TYPE_CHECKING:
    from tuner.service.beside import Offered
    from tuner.service.garbage import Collected
    from tuner.service.handle import StudyHandle
    from tuner.service.lines import Overview, StudyLine
    from tuner.service.steering import Change


def run(
    study: str | Path,
    *,
    trials: int | None = None,
    timeout_s: float | None = None,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    db: str | None = None,
    on_event: Listener | None = None,
    executor: Literal["local", "ray"] = "local",
    address: str | None = None,
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
        executor: who runs the trials: this process, or the nodes of a Ray cluster (extra `tuner[ray]`).
        address: of the Ray cluster; the default is the one of this machine, or a new one on it.

    Raises:
        InputError: the study file, the data or the model cannot be used, or there is no such cluster.
        TunerError: the disk is full or the database cannot be written; what was measured is kept.
    """
    from tuner.service.handle import StudyHandle
    from tuner.service.ray_executor import run_on_ray
    from tuner.service.run import run_study

    spec = _spec(study, trials, timeout_s, seed, overrides)
    with Store.open(db) as store:
        on_ray = executor == "ray"
        stored = run_on_ray(spec, store, on_event, address) if on_ray else run_study(spec, store, on_event)
        handle = StudyHandle.of(store, stored, db)
    handle.plot(handle.default_plot)
    return handle


def load(name: str, db: str | None = None) -> StudyHandle:
    """Return a stored study.

    Raises:
        NotFoundError: there is none of that name.
    """
    from tuner.service.handle import StudyHandle

    with Store.open(db) as store:
        return StudyHandle.of(store, store.get_study(name), db)


def compare(names: Sequence[str], db: str | None = None) -> tuple[list[Offered], str]:
    """Return what hosts or studies offer (see `beside`), and the currency of their costs, "" where they differ.

    One name is that of a study, whose hosts are compared; several are studies, or `STUDY on HOST`.

    Raises:
        NotFoundError: there is no such study or host.
        InputError: one study that only one host measured.
    """
    from tuner.service.beside import currency, offered
    from tuner.service.contenders import Contender, chosen, contender
    from tuner.service.desk import Desk

    with Store.open(db) as store:
        desk, found = Desk(store, db), dict[str, Contender]()
        for name, subject in chosen(desk.subjects(), names).items():
            info, frame = desk.trials(subject.study)
            found[name] = contender(info, frame, subject)
    return offered(found), currency(found)


def list_studies(db: str | None = None) -> list[StudyLine]:
    """Return every stored study in one line each, the last changed first."""
    return list(overview(db=db).studies)


def overview(name: str | None = None, db: str | None = None) -> Overview:
    """Return all workers, where every study (or the one of this name) stands, and what waits for want of a worker.

    Raises:
        NotFoundError: there is no study of that name.
    """
    with Store.open(db) as store:
        found = read_overview(store)
    return found if name is None else found.of(name)


def submit(
    study: str | Path,
    *,
    trials: int | None = None,
    timeout_s: float | None = None,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    db: str | None = None,
) -> Change:
    """Store a study file for workers to run; a stored study goes on. The arguments are those of `run`.

    Raises:
        InputError: the study file cannot be used, or another study is stored under its name.
    """
    spec = _spec(study, trials, timeout_s, seed, overrides)
    with Store.open(db) as store:
        return steering.submit(store, spec)


def pause(name: str, db: str | None = None) -> Change:
    """Hand out no more trials of a study; what runs comes to its end, and the study waits for `resume`.

    Raises:
        NotFoundError: there is no such study. InputError: it is over.
    """
    with Store.open(db) as store:
        return steering.pause(store, name)


def resume(name: str, db: str | None = None) -> Change:
    """Let a study go on that was paused, stopped or cancelled, or that failed.

    Raises:
        NotFoundError: there is no such study. InputError: it is finished.
    """
    with Store.open(db) as store:
        return steering.resume(store, name)


def stop(name: str, db: str | None = None) -> Change:
    """Let what runs of a study come to its end, and leave it `interrupted` then.

    Raises:
        NotFoundError: there is no such study. InputError: it is over.
    """
    with Store.open(db) as store:
        return steering.stop(store, name)


def cancel(name: str, db: str | None = None) -> Change:
    """End a study now, with its trials that are queued or run; what was measured is kept.

    Raises:
        NotFoundError: there is no such study. InputError: it is over.
    """
    with Store.open(db) as store:
        return steering.cancel(store, name)


def retry(name: str, trial: int, db: str | None = None) -> Change:
    """Queue a failed trial's candidate again; `Change.trial` is its new number.

    Raises:
        NotFoundError: there is no such study or trial. InputError: the trial did not fail.
    """
    with Store.open(db) as store:
        return steering.retry(store, name, trial)


def discard(name: str, trial: int, why: str, db: str | None = None) -> Change:
    """Take a trial out of front and sampler; it stays on record with the reason.

    Raises:
        NotFoundError: there is no such study or trial. InputError: the trial is the baseline, or not over.
    """
    with Store.open(db) as store:
        return steering.discard(store, name, trial, why)


def delete(name: str, db: str | None = None) -> Change:
    """Remove a study with its trials, Optuna's side of it and its pictures; what it left in the cache stays for `gc`.

    Raises:
        NotFoundError: there is no such study. InputError: something of it is at work.
    """
    with Store.open(db) as store:
        return steering.delete(store, name)


def collect_garbage(dry_run: bool = False, keep_bytes: int = 0, db: str | None = None) -> Collected:
    """Remove from this host's cache what no study of the database refers to; the last used of it stays up to a size."""
    from tuner.service.garbage import collect

    with Store.open(db) as store:
        return collect(store, dry_run, keep_bytes)


def _spec(
    study: str | Path,
    trials: int | None,
    timeout_s: float | None,
    seed: int | None,
    overrides: Sequence[str],
) -> StudySpec:
    from tuner.spec.load import load_spec

    settings = [*overrides, *_budget(trials, timeout_s)]
    return load_spec(study, [*settings, *([] if seed is None else [f"seed={seed}"])])


def _budget(trials: int | None, timeout_s: float | None) -> list[str]:
    settings: dict[str, Any] = {"budget.trials": trials}
    settings["budget.minutes"] = None if timeout_s is None else timeout_s / 60
    return [f"{key}={value}" for key, value in settings.items() if value is not None]
