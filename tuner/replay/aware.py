"""A study by the stage-aware search on a table, in virtual time: the decisions are those that the service takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuner.candidate import Candidate
from tuner.errors import BuildError, JobError, UnsupportedError
from tuner.metrics import Metrics
from tuner.pipeline.gate import Gate, GivenUp
from tuner.pipeline.metrics import trial_metrics
from tuner.replay.evaluate import Evaluator
from tuner.replay.ledger import Ledger
from tuner.replay.study import WHOLE, Budget
from tuner.replay.table import Table
from tuner.replay.trace import State, Step, Trace
from tuner.search.aware.decider import Decider
from tuner.search.aware.history import Seen
from tuner.search.aware.options import Options
from tuner.search.aware.outlook import Goal, Outlook
from tuner.search.aware.propose import Ground, promised, propose
from tuner.search.seeds import opening, seeds

ALL = Options()


@dataclass(frozen=True)
class Auto:
    """When a study ends by itself: the next `seconds` promise less than `share` of the hypervolume."""

    share: float = 0.01
    seconds: float = 300.0


def replay_aware(
    table: Table,
    seed: int,
    budget: Budget = WHOLE,
    options: Options = ALL,
    earlier: Sequence[Seen] = (),
    auto: Auto | None = None,
) -> Trace:
    """Return what a stage-aware study finds; `earlier` are trials of earlier studies."""
    return _Aware(table, seed, options, list(earlier), auto).run(budget)


@dataclass
class _Aware:
    table: Table
    seed: int
    options: Options
    history: list[Seen]
    auto: Auto | None
    ledger: Ledger = field(default_factory=Ledger)
    steps: list[Step] = field(default_factory=list)

    def run(self, budget: Budget) -> Trace:
        spec = self.table.spec
        self._goal = Goal(tuple(spec.objectives), tuple(spec.parsed_constraints()))
        self._ground = Ground(self.table.space, self.table.meta["anatomy"], self.options, spec.task)
        self._evaluator = Evaluator(self.table, self.ledger)
        first = seeds(self.table.space, spec.task)[: self.options.first]
        for candidate in dict.fromkeys([*opening(self.table.space, spec.task), *first]):
            if candidate.hash in self.table.rows:
                self._try(candidate, None)
        while not budget.over(self.steps, self.ledger.now) and self._turn():
            pass
        return Trace(self.steps, self.ledger.now)

    def _turn(self) -> bool:
        outlook = Outlook(self._goal, self._ground.encoder, self.history)
        taken = {step.candidate.hash for step in self.steps}
        if self.auto is not None and self._promise(outlook, taken, self.auto.seconds) < self.auto.share:
            return False
        chosen = propose(self._ground, outlook, self.history, taken, self.seed)
        if chosen is None:
            return False
        metric = self.table.spec.metric
        options = (self.options, self.seed, self._metrics, metric)
        self._try(chosen.item.candidate, Decider(outlook, chosen.item, chosen.remaining, *options))
        return True

    def _promise(self, outlook: Outlook, taken: set[str], seconds: float) -> float:
        return promised(self._ground, outlook, self.history, taken, self.seed, seconds)

    def _try(self, candidate: Candidate, gate: Gate | None) -> None:
        try:
            found = self._evaluator.evaluate(candidate, gate)
        except (BuildError, UnsupportedError, JobError) as error:
            self._end(candidate, "failed", {}, str(error))
            return
        metrics = self._metrics(found.performance) | dict(found.quality)
        if isinstance(found, GivenUp):
            self._end(candidate, "pruned", metrics, found.reason)
        else:
            self._end(candidate, "complete", metrics)

    def _metrics(self, performance: Mapping[str, Any]) -> dict[str, Any]:
        return dict(trial_metrics(performance, {}, self.table.clock_ms))

    def _end(self, candidate: Candidate, state: State, metrics: Metrics, why: str = "") -> None:
        self.history.append(Seen(candidate, state, metrics, tuple(self._evaluator.remains)))
        self.steps.append(Step(self.ledger.now, candidate, state, metrics, why))
