"""Progress: what happens in a study, as events with where the search stands, for whoever shows it."""

from __future__ import annotations

import time
from collections.abc import Callable

from tuner.errors import TunerError
from tuner.search.front import Point, front, normalised_hypervolume
from tuner.service.events import Event
from tuner.service.points import search_points
from tuner.spec.model import StudySpec
from tuner.store import Store
from tuner.store.records import Study, Trial


class Progress:
    """Turns the coordinator's steps into events. One per run of a study."""

    def __init__(self, store: Store, spec: StudySpec, on_event: Callable[[Event], None] | None) -> None:
        self._store, self._spec, self._emit = store, spec, on_event or (lambda event: None)
        self._begin, self._took = time.monotonic(), []  # type: tuple[float, list[float]]
        self._trial: Trial | None = None

    def stage(self, name: str) -> None:
        """Say that a stage starts (not said of cached ones)."""
        trial = self._trial
        number, candidate = (trial.number, trial.candidate) if trial else (None, None)
        self._emit(Event("stage", f"{name} …", stage=name, trial=number, candidate=candidate))

    def begun(self, study: Study) -> None:
        """Say that the study starts or goes on."""
        done = len(self._done(study))
        message = f"study {study.name}: {f'goes on after {done} trials' if done else 'starts'}"
        self._emit(Event("study-started", message, done=done, total=self._spec.budget.trials))

    def started(self, trial: Trial) -> None:
        """Say that a trial starts."""
        self._trial = trial
        message = f"trial {trial.number}: {trial.candidate.label()}"
        self._emit(Event("trial-started", message, trial=trial.number, candidate=trial.candidate))

    def finished(self, study: Study, trial: Trial, seconds: float) -> None:
        """Say how a trial ended, and where the study stands."""
        self._took.append(seconds)
        self._trial = None
        failed = trial.state != "complete"
        message = (
            f"trial {trial.number}: {trial.kind}: {trial.reason}" if failed else f"trial {trial.number} done"
        )
        done = len(self._done(study))
        best, hypervolume = self._standing(study)
        self._emit(
            Event(
                "trial-failed" if failed else "trial-finished",
                message,
                trial=trial.number,
                candidate=trial.candidate,
                metrics=None if failed else trial.metrics,
                done=done,
                total=self._spec.budget.trials,
                seconds_left=self._left(done),
                best_speedup=best,
                hypervolume=hypervolume,
            )
        )

    def repeated(self, trial: Trial, known: Trial) -> None:
        """Say that the sampler proposed a known candidate, which cost nothing."""
        message = f"trial {trial.number} repeats trial {known.number}"
        self._emit(Event("trial-repeated", message, trial=trial.number, candidate=trial.candidate))

    def confirming(self, count: int) -> None:
        """Say that the front is being confirmed."""
        self._trial = None
        self._emit(
            Event("confirming", f"confirming {count} points on the test split, interleaved in one run")
        )

    def note(self, message: str) -> None:
        """Say something a person would want to know."""
        self._emit(Event("note", message))

    def ended(self, study: Study, interrupted: bool) -> None:
        """Say that the study ended or was interrupted."""
        how = "interrupted; the same command goes on" if interrupted else "finished"
        best, hypervolume = self._standing(study)
        event = Event(
            "study-finished", f"study {study.name}: {how}", best_speedup=best, hypervolume=hypervolume
        )
        self._emit(event)

    def _done(self, study: Study) -> list[Trial]:
        return self._store.trials(study, ("complete", "failed", "pruned"))

    def _left(self, done: int) -> float | None:
        """Return the seconds left by the budget that ends first, as far as it can be told."""
        budget, mean = self._spec.budget, sum(self._took) / len(self._took)
        by_trials = None if budget.trials is None else max(budget.trials - done, 0) * mean
        by_time = None if budget.minutes is None else max(budget.minutes * 60 - sum(self._took), 0.0)
        known = [left for left in (by_trials, by_time) if left is not None]
        return min(known) if known else None

    def _standing(self, study: Study) -> tuple[float | None, float | None]:
        """Return the best feasible speedup so far, and the normalised hypervolume."""
        points = search_points(study, self._store.trials(study, ("complete",)))
        speedups = [value for p in points if p.feasible and (value := p.value("speedup")) is not None]
        return max(speedups, default=None), self._hypervolume(points)

    def _hypervolume(self, points: list[Point]) -> float | None:
        if not points or not front(points, self._spec.objectives):
            return None
        try:
            return normalised_hypervolume(points, self._spec.objectives, points[0])
        except TunerError:
            return None
