"""Ask and tell: the only place that talks to an Optuna study.

Optuna's queue is not used as a work queue (several processes pop the same trial twice): a fixed candidate is
enqueued and asked for at once, by the one coordinator.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuner.candidate import Candidate
from tuner.errors import InputError
from tuner.search.objective import directions
from tuner.search.space import Space

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage

_SPACE, _OBJECTIVES, _KEY = "tuner:space", "tuner:objectives", "tuner:trial"


def create_or_load(
    storage: BaseStorage, name: str, objectives: Sequence[str], space: Space, sampler: BaseSampler
) -> optuna.Study:
    """Return the Optuna study of that name (the study's UUID), new or with its trials so far.

    Raises:
        InputError: the study exists with other objectives or another space (the axes, the engines or the
            cores changed), which its trials do not fit.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    wanted = {_OBJECTIVES: list(objectives), _SPACE: space.signature()}
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=directions(objectives),
        sampler=sampler,
        load_if_exists=True,
    )
    for key, value in wanted.items():
        stored = study.user_attrs.get(key)
        if stored is None:
            study.set_user_attr(key, json.loads(json.dumps(value)))
        elif stored != json.loads(json.dumps(value)):
            raise InputError(_changed(key, stored, value))
    return study


def _changed(key: str, stored: Any, wanted: Any) -> str:
    what = "objectives" if key == _OBJECTIVES else "search space"
    parts = [k for k in wanted if wanted[k] != stored.get(k)] if isinstance(wanted, dict) else []
    detail = f" ({', '.join(parts)})" if parts else ""
    return f"the {what} of this study changed since its first run{detail}; run it under another name"


def trial_count(storage: BaseStorage, name: str) -> int:
    """Return how many trials Optuna has of a study, 0 where there is none: for `make_sampler`."""
    import optuna

    try:
        study = optuna.load_study(storage=storage, study_name=name)
    except KeyError:
        return 0
    return len(study.get_trials(deepcopy=False))


def ask(study: optuna.Study, space: Space, fixed: Candidate | None = None) -> tuple[optuna.Trial, Candidate]:
    """Return a new Optuna trial and its candidate: the sampler's, or the `fixed` one (a seed).

    Raises:
        ValueError: the fixed candidate is not in the space.
    """
    if fixed is not None:
        study.enqueue_trial(space.params(fixed))
    trial = study.ask()
    return trial, space.suggest(trial)


def tell_complete(
    study: optuna.Study,
    trial: optuna.Trial | int,
    values: Sequence[float],
    constraints: Mapping[str, float] | None = None,
) -> None:
    """Tell the values (`told_values`) and violations (`constraint_values`) of a measured trial.

    Like the other tells, it takes an Optuna trial or its number, and does nothing to one that is finished.
    """
    from optuna.trial import TrialState

    with _or_finished_meanwhile():
        if _constrained(study, trial, constraints):
            study.tell(trial, list(values), state=TrialState.COMPLETE, skip_if_finished=True)


def tell_pruned(
    study: optuna.Study, trial: optuna.Trial | int, constraints: Mapping[str, float] | None = None
) -> None:
    """Tell that a trial was given up by the gate or is unsupported: samplers learn to avoid the region."""
    from optuna.trial import TrialState

    with _or_finished_meanwhile():
        if _constrained(study, trial, constraints):
            study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)


def add(
    study: optuna.Study,
    space: Space,
    candidate: Candidate,
    values: Sequence[float] | None,
    constraints: Mapping[str, float],
    key: str,
) -> int:
    """Add a trial that Optuna did not propose, finished: complete with `values`, else pruned; return its number.

    Under one `key` a trial is added once, however often it is told.

    Raises:
        ValueError: the candidate is not in the space.
    """
    from optuna.trial import TrialState, create_trial

    known = _added(study, key)
    if known is not None:
        return known
    trial = create_trial(
        state=TrialState.PRUNED if values is None else TrialState.COMPLETE,
        values=None if values is None else list(values),
        params=space.params(candidate),
        distributions=space.distributions(candidate),
        constraints=dict(constraints),
        user_attrs={_KEY: key},
    )
    study.add_trial(trial)
    number = _added(study, key)
    assert number is not None
    return number


def _added(study: optuna.Study, key: str) -> int | None:
    """Return the number of the trial that was added under a key, None where there is none."""
    found = (int(t.number) for t in study.get_trials(deepcopy=False) if t.user_attrs.get(_KEY) == key)
    return next(found, None)


def delete_study(storage: BaseStorage, name: str) -> None:
    """Delete a study; nothing happens where there is none."""
    import optuna

    with contextlib.suppress(KeyError):
        optuna.delete_study(storage=storage, study_name=name)


def tell_failed(study: optuna.Study, trial: optuna.Trial | int) -> None:
    """Tell an infrastructure error (disk full, killed from outside): samplers do not see the trial at all.

    A candidate that itself crashes, or takes too much memory or time, should be told as pruned instead: of a
    failed one the sampler learns nothing and proposes it again.
    """
    from optuna.trial import TrialState

    with _or_finished_meanwhile():
        study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)


def unsettled(study: optuna.Study) -> set[int]:
    """Return the Optuna numbers of trials enqueued or asked for and never told."""
    from optuna.trial import TrialState

    states = (TrialState.WAITING, TrialState.RUNNING)
    return {t.number for t in study.get_trials(deepcopy=False, states=states)}


def drop_orphans(study: optuna.Study, orphans: set[int]) -> None:
    """Tell as failed those trials that are `unsettled` and that nobody knows.

    They are left by a crash between asking and storing, or in the middle of asking: nothing was ever run for them.
    """
    from optuna.trial import TrialState

    for waiting in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        if waiting.number in orphans:
            study.ask()  # enqueued and not asked for: only a running trial can be told
    for number in sorted(orphans):
        tell_failed(study, number)


@contextlib.contextmanager
def _or_finished_meanwhile() -> Iterator[None]:
    """Accept that a coordinator whose lease ran out in the middle of a tell tells the same at the same moment."""
    from optuna.exceptions import UpdateFinishedTrialError

    with contextlib.suppress(UpdateFinishedTrialError):
        yield


def _constrained(
    study: optuna.Study, trial: optuna.Trial | int, constraints: Mapping[str, float] | None
) -> bool:
    """Set the constraints, those that a crash between setting and telling left out; False if trial is
    finished.
    """
    from optuna import Trial

    number = trial if isinstance(trial, int) else trial.number
    frozen = next(t for t in study.get_trials(deepcopy=False) if t.number == number)
    if frozen.state.is_finished():
        return False
    handle = Trial(study, frozen._trial_id)
    for name, value in (constraints or {}).items():
        if name not in frozen.constraints:  # the first write wins, and a second one warns
            handle.set_constraint(name, value)
    return True
