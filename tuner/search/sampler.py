"""Samplers by the names that a study file uses."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuner.errors import InputError
from tuner.spec.nearest import did_you_mean

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler

SAMPLERS = ("stage-aware", "tpe-grouped", "tpe", "nsga2", "random", "grid")
_STARTUP = 10  # random trials before TPE models; the seeds count among them


def make_sampler(name: str, seed: int, told: int = 0) -> BaseSampler:
    """Return a sampler; `told` is how many trials the study has, so that a resumed one draws on, not again.

    `tpe-grouped` is multivariate TPE per group of parameters that occur together (Falkner et al. 2018 for the
    joint model; the groups are Optuna's). All of them but `random` and `grid` respect constraints set on
    trials. Of `stage-aware` the proposals come from elsewhere (`search/aware`), each enqueued as a fixed trial.

    Raises:
        InputError: there is no sampler of that name.
    """
    from optuna import samplers
    from optuna.exceptions import ExperimentalWarning

    number = (seed * 1_000_003 + told) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if name == "tpe-grouped":
            return samplers.TPESampler(multivariate=True, group=True, n_startup_trials=_STARTUP, seed=number)
        if name == "tpe":
            return samplers.TPESampler(n_startup_trials=_STARTUP, seed=number)
        if name == "grid":
            return _grid(number)
    if name == "nsga2":
        return samplers.NSGAIISampler(population_size=20, seed=number)
    if name in ("random", "stage-aware"):
        return samplers.RandomSampler(seed=number)
    raise InputError(f"sampler: unknown sampler {name!r}{did_you_mean(name, SAMPLERS)}")


def _grid(seed: int) -> BaseSampler:
    from optuna.samplers import BruteForceSampler

    class Grid(BruteForceSampler):
        """BruteForceSampler under ask and tell: it would stop an `optimize` loop at its end, and there is
        none.
        """

        def after_trial(
            self,
            study: optuna.Study,
            trial: optuna.trial.FrozenTrial,
            state: optuna.trial.TrialState,
            values: Sequence[float] | None,
        ) -> None:
            with contextlib.suppress(RuntimeError):
                super().after_trial(study, trial, state, values)

    return Grid(seed=seed)
