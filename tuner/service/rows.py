"""Rows: one trial, and one study, as they are shown and written as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tuner.candidate import Candidate
from tuner.metrics import METRICS, Estimate, Metrics
from tuner.search.standing import Standing, Word
from tuner.spec.wording import headline

if TYPE_CHECKING:
    from tuner.service.handle import StudyHandle


@dataclass(frozen=True)
class TrialRow:
    """One trial. `metrics` are the search's own (validation), `confirmed` those of the confirmation (test).

    `standing` is None for what has no place: infeasible, discarded, or not measured in every objective. `stages` are
    `{"name", "key", "hit", "seconds"}`; `host` and `worker` are names; `reason` says why a trial failed, `discarded`
    why it was left out. `headline` are the metrics that are in its JSON whether they were measured or not.
    """

    number: int
    candidate: Candidate
    state: str
    reason: str | None
    metrics: Metrics
    confirmed: Metrics | None
    standing: Standing | None
    feasible: bool
    stages: list[dict[str, Any]] = field(default_factory=list)
    host: str | None = None
    worker: str | None = None
    attempt: int = 0
    discarded: str | None = None
    log_tail: str | None = None
    started: datetime | None = None
    finished: datetime | None = None
    headline: tuple[str, ...] = headline("accuracy")

    @property
    def on_front(self) -> bool:
        """Say whether no feasible trial dominates it."""
        return self.place == "front"

    @property
    def place(self) -> Word | None:
        """Return front, tied or dominated."""
        return None if self.standing is None else self.standing.word

    @property
    def rivals(self) -> tuple[int, ...]:
        """Return the trials that may beat it in everything: within their intervals."""
        return () if self.standing is None else self.standing.rivals

    @property
    def shown(self) -> Metrics:
        """Return the confirmed metrics, or those of the search where there are none."""
        return self.metrics if self.confirmed is None else self.confirmed

    def estimate(self, metric: str) -> Estimate | None:
        """Return a shown metric, None where it was not measured."""
        return _measured(self.shown.get(metric))

    def lost(self, metric: str) -> float | None:
        """Return confirmed minus search: a difference for fractions, else a relative one (0.05: 5 % more)."""
        before = _measured(self.metrics.get(metric))
        after = None if self.confirmed is None else _measured(self.confirmed.get(metric))
        if before is None or after is None:
            return None
        if METRICS[metric][0] == "fraction":
            return after.value - before.value
        return after.value / before.value - 1 if before.value else None

    def differences(self, baseline: Candidate | None) -> dict[str, tuple[Any, Any]]:
        """Return what differs from the baseline: `{"quantization.bits": (32, 8)}`, its value and the trial's own."""
        if baseline is None:
            return {}
        found = self.candidate.differences(baseline)
        return {f"{part}.{name}": pair for (part, name), pair in found.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the object of a front's JSON, as `tuner schema front` describes it."""
        return {
            "trial": self.number,
            "candidate": self.candidate.canonical(),
            "on_front": self.on_front,
            "standing": self.place,
            "rivals": list(self.rivals),
            "confirmed": self.confirmed is not None,
            "metrics": plain_metrics(self.shown, self.headline),
        }

    def to_detail(self) -> dict[str, Any]:
        """Return all that is known of the trial as JSON-able data."""
        return {
            **self.to_json(),
            "state": self.state,
            "feasible": self.feasible,
            "reason": self.reason,
            "search_metrics": plain_metrics(self.metrics, self.headline),
            "stages": self.stages,
            "host": self.host,
            "worker": self.worker,
            "attempt": self.attempt,
            "discarded": self.discarded,
            "started": _moment(self.started),
            "finished": _moment(self.finished),
            "log_tail": self.log_tail,
        }

    def to_record(self) -> dict[str, Any]:
        """Return one flat row of a table: the five parts, then each metric with its `_low` and `_high`."""
        record: dict[str, Any] = {"trial": self.number}
        for fields in self.candidate.canonical().values():
            record |= fields
        for name in dict.fromkeys([*self.headline, *self.shown]):
            found = self.estimate(name)
            values = (None,) * 3 if found is None else (found.value, found.low, found.high)
            record |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
        return {
            **record,
            "standing": self.place,
            "confirmed": self.confirmed is not None,
            "feasible": self.feasible,
        }


@dataclass(frozen=True)
class StudySummary:
    """A study in one line. `best_speedup` is that of the fastest point of its front."""

    name: str
    state: str
    objectives: tuple[str, ...]
    measured: int
    failed: int
    repeated: int
    on_front: int
    confirmed: bool
    best_speedup: float | None
    baseline_ms: float | None
    host: str | None
    updated: datetime | None

    @classmethod
    def of(cls, study: StudyHandle) -> StudySummary:
        """Sum a study up."""
        states = [trial.state for trial in study.trials]
        front = study.front_rows()
        speedups = [found.value for row in front if (found := row.estimate("speedup")) is not None]
        return cls(
            name=study.name,
            state=study.state,
            objectives=tuple(study.spec["objectives"]),
            measured=states.count("complete"),
            failed=states.count("failed") + states.count("pruned"),
            repeated=states.count("repeated"),
            on_front=len(front),
            confirmed=any(row.confirmed is not None for row in front),
            best_speedup=max(speedups, default=None),
            baseline_ms=study.baseline_ms,
            host=study.host.get("name"),
            updated=study.study.updated_at,
        )

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {**vars(self), "objectives": list(self.objectives), "updated": _moment(self.updated)}


def plain_metrics(metrics: Metrics, headline: Sequence[str]) -> dict[str, dict[str, float] | None]:
    """Return metrics as JSON-able data: the headline ones always, null where not measured."""
    measured = {name: _measured(metrics.get(name)) for name in dict.fromkeys([*headline, *metrics])}
    return {name: None if found is None else found.model_dump() for name, found in measured.items()}


def _measured(estimate: Estimate | None) -> Estimate | None:
    """Return None for what is no number too: JSON has no NaN."""
    if estimate is None or not math.isfinite(estimate.value):
        return None
    low, high = (v if math.isfinite(v) else estimate.value for v in (estimate.low, estimate.high))
    return Estimate(value=estimate.value, low=low, high=high)


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
