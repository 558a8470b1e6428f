"""Steering: what a person asks of a study or a trial, and one line on what happened and what will happen."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.errors import InputError, LeaseLostError
from tuner.service.budget import Spent
from tuner.service.overview import read_overview
from tuner.spec.model import StudySpec
from tuner.store import Store, Study, Trial, tuner_home


@dataclass(frozen=True)
class Change:
    """What was asked for is done: where the study stands now, and a line for a person."""

    study: str
    state: str
    message: str
    trial: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return dict(vars(self))


def submit(store: Store, spec: StudySpec) -> Change:
    """Store a study for workers to begin; a stored one goes on, with the budget that it is given now.

    Raises:
        InputError: one of that name is stored with another specification.
    """
    from tuner.service.opening import open_study

    known = store.find_study(spec.name)
    study = open_study(store, spec)
    if known is None:
        return _change(study, f"submitted ({spec.budget.words()}); {_outlook(store, study)}")
    study = store.reopen(study)
    done = Spent.of(store.spans(study)).candidates
    return _change(
        study, f"goes on after {_many(done, 'candidate')} ({spec.budget.words()}); {_outlook(store, study)}"
    )


def pause(store: Store, name: str) -> Change:
    """Hand out no more trials of a study until it is resumed."""
    study = store.pause(store.get_study(name))
    counts = store.counts(study)
    running, queued = counts.get("running", 0), counts.get("queued", 0)
    parts = [f"{_many(running, 'trial')} at work {_verb(running)} to an end"] if running else []
    parts += [f"{_many(queued, 'trial')} stay{'s' if queued == 1 else ''} in the queue"] if queued else []
    return _change(study, f"{'; '.join(['paused', *parts])}. It goes on with: tuner resume {name}")


def resume(store: Store, name: str) -> Change:
    """Let a study go on that was paused, stopped or cancelled, or that failed."""
    before = store.get_study(name)
    study = store.resume(before)
    already = "already " if before.state == study.state else ""
    return _change(study, f"{already}{study.state}; {_outlook(store, study)}")


def stop(store: Store, name: str) -> Change:
    """Let what runs of a study come to its end, and hand out no more."""
    study = store.stop(store.get_study(name))
    running = store.counts(study).get("running", 0)
    if study.state == "interrupted":
        return _change(study, f"interrupted; nothing of it was at work. It goes on with: tuner resume {name}")
    ends = f"{_many(running, 'trial')} at work {_verb(running)} to an end first"
    return _change(study, f"stopping; {ends}. It goes on with: tuner resume {name}")


def cancel(store: Store, name: str) -> Change:
    """End a study now, with what runs of it; what was measured is kept."""
    study = store.get_study(name)
    before = store.counts(study)
    study = store.cancel(study)
    ended = _many(before.get("queued", 0) + before.get("running", 0), "trial")
    return _change(
        study,
        f"cancelled with {ended} queued or at work; what was measured is kept. It goes on with: tuner resume {name}",
    )


def retry(store: Store, name: str, number: int) -> Change:
    """Queue a failed trial's candidate again."""
    trial = store.retry_trial(store.get_study(name), number)
    study = store.get_study(name)
    paused = f"the study is paused; resume it: tuner resume {name}"
    outlook = paused if study.state == "paused" else _outlook(store, study)
    return _change(study, f"trial {number} is queued again as trial {trial.number}; {outlook}", trial.number)


def discard(store: Store, name: str, number: int, why: str) -> Change:
    """Take a trial out of front and sampler; it stays on record with the reason.

    Raises:
        InputError: it is the baseline, or it is not over; or no reason is given.
    """
    study = store.get_study(name)
    if not why.strip():
        raise InputError("--why: say why; it is kept with the trial")
    _refuse_baseline(store, study, store.trial(study, number))
    store.discard_trial(study, number, why.strip())
    study = _summed_up_anew(store, name)
    front = _many(len(study.summary.get("front", ())), "point")
    return _change(
        study,
        f"trial {number} is discarded ({why.strip()}): it stays on record only; the front has {front} now",
        number,
    )


def delete(store: Store, name: str) -> Change:
    """Remove a study with all that was measured, Optuna's side of it and its pictures.

    Raises:
        InputError: something of it is at work.
    """
    from tuner.service.view import delete_optuna_studies

    study = store.get_study(name)
    _refuse_busy(store, study)
    trials = sum(store.counts(study).values())
    delete_optuna_studies(store, study)
    store.delete_study(study)
    _remove_pictures(name)
    freed = "what it left in the cache goes with: tuner gc"
    return Change(name, "deleted", f"study {name}: deleted with {_many(trials, 'trial')}; {freed}")


def _change(study: Study, text: str, trial: int | None = None) -> Change:
    return Change(study.name, study.state, f"study {study.name}: {text}", trial)


def _outlook(store: Store, study: Study) -> str:
    """Return who is there to go on with a study, or what is missing."""
    overview = read_overview(store).of(study.name)
    if overview.notes:
        return "; ".join(note.message.removeprefix(f"study {study.name}: ") for note in overview.notes)
    return "1 worker is alive" if overview.alive == 1 else f"{overview.alive} workers are alive"


def _refuse_baseline(store: Store, study: Study, trial: Trial) -> None:
    if trial.number == 0 or trial.hash == store.trial(study, 0).hash:
        raise InputError(
            f"trial {trial.number} of {study.name!r} is the baseline: every speedup and drop is held against it, and "
            "without it the study has no front"
        )


def _summed_up_anew(store: Store, name: str) -> Study:
    """Make the summary that lists show anew; where somebody coordinates the study, that is done there."""
    from tuner.service.summary import summarise

    study = store.get_study(name)
    summary = summarise(study, store.trials(study, ("complete",)), store.spans(study))
    with contextlib.suppress(LeaseLostError):
        return store.move_study(study, summary=summary)
    return study


def _refuse_busy(store: Store, study: Study) -> None:
    running = store.counts(study).get("running", 0)
    led = next((s.coordinator for s in store.standings() if s.id == study.id), None)
    doing = {"queued": "prepares", "confirming": "confirms"}.get(study.state)
    busy = f"{_many(running, 'trial')} of it {'is' if running == 1 else 'are'} at work" if running else None
    if busy is None and led is not None and doing is not None:
        busy = f"worker {led} {doing} it"
    if busy is not None:
        raise InputError(
            f"study {study.name!r} cannot be deleted: {busy}; end that first: tuner cancel {study.name}"
        )


def _remove_pictures(name: str) -> None:
    studies = tuner_home() / "studies"
    folder = studies / Path(name).name
    if folder.parent == studies and folder.name not in ("", ".", ".."):
        shutil.rmtree(folder, ignore_errors=True)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _verb(count: int) -> str:
    return "comes" if count == 1 else "come"
