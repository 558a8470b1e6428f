"""Coordinator: asks Optuna for candidates, has them evaluated, stores what came back and tells it to Optuna.

The store is written first and Optuna told second. After a crash between the two, `_settle` tells what is stored;
a trial that was running is run again, under its own number; one that Optuna began and nobody stored is dropped.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from tuner.candidate import Candidate
from tuner.errors import BuildError, JobError, TunerError, UnsupportedError
from tuner.pipeline.bench import Bench
from tuner.pipeline.evaluate import evaluate
from tuner.pipeline.prepare import Prepared
from tuner.pipeline.workshop import Workshop
from tuner.search import asktell
from tuner.search.objective import constraint_values, told_values
from tuner.search.seeds import seeds
from tuner.search.space import Space
from tuner.service.progress import Progress
from tuner.service.record import record
from tuner.spec.constraint import parse_constraint
from tuner.store import Store
from tuner.store.records import Study, Trial

if TYPE_CHECKING:
    import optuna

_REPEATS = 10  # so many known candidates in a row, and the next one is drawn among those not tried yet
_INFRASTRUCTURE = ("disk-full",)  # no property of the candidate: the study stops, the trial is run again


@dataclass
class Coordinator:
    """One study's loop. `draining` ends it after the trial at hand."""

    store: Store
    study: Study
    shop: Workshop
    ready: Prepared
    bench: Bench
    space: Space
    optuna_study: optuna.Study
    progress: Progress
    draining: bool = False

    def run(self) -> None:
        """Search until the budget is spent, the space is exhausted, or somebody asked to drain."""
        self._settle()
        for trial in self.store.unfinished(self.study):
            if not self.draining:
                self._take(trial)
        for candidate in self._seeds_left():
            if not self._over():
                self._take(self._begin(candidate, seed=True))
        repeats = 0
        while not self._over() and not self._exhausted():
            new = self._take(self._begin(self._untried() if repeats >= _REPEATS else None, seed=False))
            repeats = 0 if new else repeats + 1

    # -- where the search stands

    def _over(self) -> bool:
        budget = self.shop.spec.budget
        finished = self.store.trials(self.study, ("complete", "failed", "pruned"))
        spent = sum(
            (t.finished_at - t.started_at).total_seconds() for t in finished if t.finished_at and t.started_at
        )
        return (
            self.draining
            or (budget.trials is not None and len(finished) >= budget.trials)
            or (budget.minutes is not None and spent >= budget.minutes * 60)
        )

    def _exhausted(self) -> bool:
        inside = [
            t for t in self.store.trials(self.study) if t.state != "repeated" and t.candidate in self.space
        ]
        return len(inside) >= self.space.size()

    def _untried(self) -> Candidate | None:
        """Return a random new candidate: near a good point a sampler may repeat itself for ever."""
        stored = self.store.trials(self.study)
        return self.space.untried({t.hash for t in stored}, Random(f"{self.shop.spec.seed}:{len(stored)}"))

    def _known(self, trial: Trial) -> Trial | None:
        found = self.store.find_trial(self.study, trial.candidate)
        return found if found and found.id != trial.id else None

    def _seeds_left(self) -> list[Candidate]:
        known = {trial.hash for trial in self.store.trials(self.study)}
        return [candidate for candidate in seeds(self.space) if candidate.hash not in known]

    # -- one trial

    def _begin(self, fixed: Candidate | None, seed: bool) -> Trial:
        """Ask, and store the trial before anything is run. A seed outside the space is ours alone."""
        if fixed is not None and fixed not in self.space:
            return self.store.new_trial(self.study, None, fixed, seed)
        with self.store.guard():  # Optuna's own writes fail as clearly as ours
            asked, candidate = asktell.ask(self.optuna_study, self.space, fixed)
        return self.store.new_trial(self.study, asked.number, candidate, seed)

    def _take(self, trial: Trial) -> bool:
        """Evaluate a trial, or give it the result of the earlier one of its candidate; True if it was new."""
        known = self._known(trial)
        if known is None:
            self._evaluate(trial)
        else:  # asked just now, or by a process that died before it could note the repeat
            self._repeat(trial, known)
        return known is None

    def _evaluate(self, trial: Trial) -> None:
        trial = self.store.start(trial.id, self.shop.host)
        self.progress.started(trial)
        begin = time.monotonic()
        try:
            found = evaluate(self.shop, self.ready, self.bench, trial.candidate)
            ended = record(self.store, self.study, trial, found)
        except (BuildError, UnsupportedError, JobError) as error:
            ended = self._failed(trial, error)
        self.study = self.store.get_study(self.study.name)
        self._tell(ended)
        self.progress.finished(self.study, ended, time.monotonic() - begin)

    def _failed(self, trial: Trial, error: TunerError) -> Trial:
        """Store a failure of the candidate; one of the machine ends the study, and loses nothing."""
        if isinstance(error, JobError) and error.kind in _INFRASTRUCTURE:
            raise error
        if trial.candidate == self.bench.baseline:  # everything is held against it: no fault of a candidate
            raise TunerError(f"the baseline could not be measured: {error}") from error
        kind, reason, log = "build", str(error), ""
        if isinstance(error, JobError):
            kind, reason, log = error.kind, error.reason, error.log_tail
        elif isinstance(error, UnsupportedError):
            kind = "unsupported"
        return self.store.fail_trial(trial.id, kind, reason, log, self.shop.take_runs())

    def _repeat(self, trial: Trial, known: Trial) -> None:
        ended = self.store.reuse_trial(trial.id, of=known.id)
        self._tell(ended)
        self.progress.repeated(ended, known)

    # -- what Optuna hears

    def _tell(self, trial: Trial) -> None:
        """Tell a stored trial. What a candidate did wrong is told as pruned: samplers do not see failures."""
        if trial.optuna_number is None:
            return
        constraints = constraint_values(
            [parse_constraint(c) for c in self.shop.spec.constraints], trial.metrics
        )
        values = told_values(self.shop.spec.objectives, trial.metrics)
        with self.store.guard():
            if values is None:
                asktell.tell_pruned(self.optuna_study, trial.optuna_number, constraints)
            else:
                asktell.tell_complete(self.optuna_study, trial.optuna_number, values, constraints)

    def _settle(self) -> None:
        """Make Optuna's view equal the store's after a crash."""
        stored = {t.optuna_number: t for t in self.store.trials(self.study) if t.optuna_number is not None}
        with self.store.guard():
            asktell.drop_orphans(self.optuna_study, set(stored))
            running = asktell.running_numbers(self.optuna_study)
        for number in running:
            if stored[number].state not in ("queued", "running"):
                self._tell(stored[number])
