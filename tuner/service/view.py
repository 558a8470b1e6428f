"""View: Optuna's side of a study, and how it is kept equal to the store's.

Our rows are the truth; Optuna hears of them. What a crash left between two of the steps (asked and not stored, stored
and not told) is settled by whoever coordinates next.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuner.backends.base import Offer
from tuner.candidate import Candidate
from tuner.faults import fault
from tuner.search import asktell
from tuner.search.across import Able, Across
from tuner.search.objective import constraint_values, told_values
from tuner.search.sampler import make_sampler
from tuner.search.seeds import opening, seeds
from tuner.search.space import Space
from tuner.spec.constraint import parse_constraint
from tuner.spec.model import StudySpec
from tuner.store import Store
from tuner.store.optuna_storage import open_optuna_storage
from tuner.store.records import Study, Trial
from tuner.store.retry import patiently

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage

#: What a candidate did: Optuna hears of it. Of a cancelled trial it hears as of one that never ran.
_HEARD = ("complete", "failed", "pruned")


def space_of(study: Study, spec: StudySpec) -> Space:
    """Return the study's space, from what preparing it found.

    Raises:
        InputError: nothing of what the study asks for can run.
    """
    meta = study.meta
    if spec.axes.backend.hosts:
        hosts = {name: _able(meta["hosts"][name]) for name in spec.axes.backend.hosts}
        return Across(spec.axes, meta["anatomy"], hosts, spec.scenario.clients)
    able = _able(meta)
    return Space(spec.axes, meta["anatomy"], able.offers, able.cores, spec.scenario.clients)


def _able(meta: Mapping[str, Any]) -> Able:
    return Able([(engine, Offer.from_plain(plain)) for engine, plain in meta["offers"]], int(meta["cores"]))


@dataclass
class View:
    """A study with its space and its Optuna study, kept by a coordinator from one look to the next."""

    store: Store
    spec: StudySpec
    space: Space
    optuna_study: optuna.Study
    epoch: int
    seeds: list[Candidate]
    opening: list[Candidate]  # seeds that come before anything that is expected
    ended: str | None = None  # why the search ends by itself
    repeats: int = 0
    trials: dict[str, Trial] = field(default_factory=dict)  # the complete ones, as far as we saw them

    @classmethod
    def of(cls, store: Store, study: Study, storage: RDBStorage) -> View:
        """Open, or make, Optuna's study in the study's epoch, and settle what a crash left.

        Raises:
            InputError: Optuna's study has other objectives or another space.
        """
        spec = StudySpec.model_validate(dict(study.spec))
        space = space_of(study, spec)
        asked = patiently(store, lambda: _optuna_study(storage, study, spec, space))
        view = cls(store, spec, space, asked, study.epoch, seeds(space, spec.task), opening(space, spec.task))
        view.settle(study)
        return view

    def settle(self, study: Study) -> None:
        """Drop what was asked for and never stored; load what is stored.

        Optuna is read first. While the lease is still ours after that, what was asked for by then is stored, or nobody
        can store it any more. The other way round, one who falls behind between the two would drop what the next
        coordinator asked for meanwhile.

        Raises:
            LeaseLostError: the study is coordinated by another by now.
        """
        asked = patiently(self.store, lambda: asktell.unsettled(self.optuna_study))
        stored = self.store.own_trials(study)
        self.trials = {t.id: t for t in stored if t.state == "complete"}
        orphans = asked - {t.optuna_number for t in stored}
        patiently(self.store, lambda: asktell.drop_orphans(self.optuna_study, orphans))

    def complete(self, study: Study) -> list[Trial]:
        """Return the complete trials, those that other coordinators heard of since included."""
        self.trials.update({t.id: t for t in self.store.ended_trials(study, known=self.trials)})
        return list(self.trials.values())

    def ask(self, study: Study, fixed: Candidate | None) -> tuple[int, Candidate]:
        """Return Optuna's number of a new trial and its candidate: the sampler's, or the `fixed` one."""
        fault("before_ask")
        tries = itertools.count()

        def once() -> tuple[optuna.Trial, Candidate]:
            if next(tries):  # the database went away in the middle: a trial may be left that nobody runs
                self.settle(study)
            return asktell.ask(self.optuna_study, self.space, fixed)

        asked, candidate = patiently(self.store, once)
        fault("after_ask")
        return asked.number, candidate

    def drop(self, number: int) -> None:
        """Tell Optuna that a trial it was asked for is not going to be run."""
        patiently(self.store, lambda: asktell.tell_failed(self.optuna_study, number))

    def hear(self, study: Study, trial: Trial) -> None:
        """Tell Optuna how a stored trial ended, and note that it was told."""
        fault("before_tell")
        number = patiently(self.store, lambda: self._tell(trial))
        self.store.set_told(trial, number, study)
        if trial.state == "complete":
            self.trials[trial.id] = trial

    def _tell(self, trial: Trial) -> int | None:
        """Tell a trial. What a candidate did wrong is told as pruned: samplers do not see failures (ADR 4)."""
        number, study = trial.optuna_number, self.optuna_study
        constraints = constraint_values([parse_constraint(c) for c in self.spec.constraints], trial.metrics)
        values = None if trial.state == "pruned" else told_values(self.spec.objectives, trial.metrics)
        if number is None:  # a seed outside the space, a second try, or one of an earlier epoch
            if trial.state not in _HEARD or trial.candidate not in self.space:
                return None
            return asktell.add(study, self.space, trial.candidate, values, constraints, trial.id)
        if trial.state == "cancelled":
            asktell.tell_failed(study, number)
        elif values is None:
            asktell.tell_pruned(study, number, constraints)
        else:
            asktell.tell_complete(study, number, values, constraints)
        return number


def _optuna_study(storage: RDBStorage, study: Study, spec: StudySpec, space: Space) -> optuna.Study:
    _forget_earlier(storage, study)
    count = asktell.trial_count(storage, study.optuna_name)
    sampler = make_sampler(spec.sampler, spec.seed, count)
    return asktell.create_or_load(storage, study.optuna_name, spec.objectives, space, sampler)


def _forget_earlier(storage: RDBStorage, study: Study) -> None:
    """Delete Optuna's studies of earlier epochs: they know trials that were discarded since."""
    names = [study.id, *(f"{study.id}.{epoch}" for epoch in range(1, study.epoch))] if study.epoch else []
    for name in names:
        asktell.delete_study(storage, name)


def delete_optuna_studies(store: Store, study: Study) -> None:
    """Delete all that Optuna keeps of a study."""
    storage: Any = open_optuna_storage(store)
    for name in (study.id, *(f"{study.id}.{epoch}" for epoch in range(1, study.epoch + 1))):
        patiently(store, lambda name=name: asktell.delete_study(storage, name))  # type: ignore[misc]
