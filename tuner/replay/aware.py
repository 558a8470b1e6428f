"""A study by the stage-aware search on a table, in virtual time: the decisions are those that the service calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from tuner.candidate import Candidate, baseline
from tuner.metrics import Estimate, Metrics
from tuner.replay.ledger import Ledger
from tuner.replay.study import WHOLE, Budget
from tuner.replay.table import Row, Table
from tuner.replay.trace import Step, Trace
from tuner.search.aware.confidence import document_order, drop_bounds
from tuner.search.aware.gate import NOTHING, looks_first, refused
from tuner.search.aware.history import Item, Seen
from tuner.search.aware.options import Options
from tuner.search.aware.outlook import Goal, Outlook
from tuner.search.aware.propose import Ground, propose
from tuner.stage import StageRun

_BEFORE_TRAINING = ("importance", "shape")
_UNTRAINED = ("build", "performance", "export")
ALL = Options()
_LOOKS = 32  # documents between two looks


def replay_aware(
    table: Table,
    seed: int,
    budget: Budget = WHOLE,
    options: Options = ALL,
    earlier: Sequence[Seen] = (),
) -> Trace:
    """Return what a stage-aware study finds; `earlier` are trials of earlier studies."""
    return _Aware(table, seed, options, list(earlier) if options.warm else []).run(budget)


@dataclass
class _Aware:
    table: Table
    seed: int
    options: Options
    history: list[Seen]
    ledger: Ledger = field(default_factory=Ledger)
    steps: list[Step] = field(default_factory=list)

    def run(self, budget: Budget) -> Trace:
        spec, space = self.table.spec, self.table.space
        constraints = tuple(spec.parsed_constraints())
        self._goal = Goal(tuple(spec.objectives), constraints, self.options.margin)
        self._ground = Ground(space, self.table.meta["anatomy"], self.options)
        first = self.table.rows[baseline(space.teacher_layers, space.cores).hash]
        self._base = first.correct
        self._order = document_order(first.correct, self.seed)
        self._paid(first, list(first.stages))
        while self.ledger.now < budget.seconds and len(self.steps) < budget.trials and self._turn():
            pass
        return Trace(self.steps, self.ledger.now)

    def _turn(self) -> bool:
        self._outlook = Outlook(self._goal, self._ground.encoder, self.history)
        taken = {step.candidate.hash for step in self.steps}
        chosen = propose(self._ground, self._outlook, self.history, taken, self.seed)
        if chosen is None:
            return False
        row = self.table.rows[chosen.item.hash]
        if looks_first(self._outlook, chosen.item, chosen.remaining, self.options):
            self._looked(row, chosen.item)
        else:
            self._trained(row, chosen.item, [])
        return True

    # -- measured before it is trained

    def _looked(self, row: Row, item: Item) -> None:
        paid = self.ledger.pay(_untrained(self.table, row))
        measured = _performance(self.table.untrained.get(row.candidate.hash, row))
        why = None
        if measured:
            why = refused(self._outlook, item, measured, self.options, self.seed)
        if why is None:
            self._trained(row, item, paid)
        else:
            self._end(row.candidate, "pruned", measured, paid, why)

    # -- trained, built, measured, judged

    def _trained(self, row: Row, item: Item, paid: list[StageRun]) -> None:
        before = [stage for stage in row.stages if stage.name != "quality"]
        paid = [*paid, *self.ledger.pay(before)]
        quality = [stage for stage in row.stages if stage.name == "quality"]
        known = bool(quality) and quality[0].key in self.ledger.made
        why = self._given_up(row, item) if quality and not known and self.options.subsets else None
        if why is None:
            self._paid(row, [*quality], paid)
            return
        share, accuracy, reason = why
        stage = quality[0]
        self.ledger.now += (spent := share * stage.seconds)
        paid.append(StageRun("subset", stage.key, False, spent))
        self._end(row.candidate, "pruned", {**_performance(row), "accuracy": accuracy}, paid, reason)

    def _given_up(self, row: Row, item: Item) -> tuple[float, Estimate, str] | None:
        """Return after which share of the judging a point is given up, and why; None if it is judged to the end."""
        total = len(self._order)
        if not len(row.correct) or total != len(row.correct):
            return None
        latency = row.metrics["latency_ms"]
        assert latency is not None
        seconds = next(stage.seconds for stage in row.stages if stage.name == "quality")
        per_document = min(latency.value / 1000, 0.95 * seconds / total)
        for count in range(_LOOKS, total, _LOOKS):
            low, high = drop_bounds(self._base, self._order, row.correct[self._order[:count]])
            base = float(self._base.mean())
            accuracy = base - low
            hoped = {**_performance(row), "accuracy": Estimate.exact(accuracy)}
            if self._outlook.hopeful(item, hoped, 0.0) <= NOTHING:
                share = 1 - (total - count) * per_document / seconds
                found = Estimate(value=base - (low + high) / 2, low=base - high, high=accuracy)
                return (
                    share,
                    found,
                    f"given up after {count} documents: its accuracy is at most {accuracy:.4f}",
                )
        return None

    # -- ends

    def _paid(self, row: Row, stages: list[StageRun], before: Sequence[StageRun] = ()) -> None:
        paid = [*before, *self.ledger.pay(stages)]
        state = "complete" if row.failure is None else "failed"
        self._end(row.candidate, state, row.metrics, paid, row.failure.reason if row.failure else "")

    def _end(self, c: Candidate, state: str, metrics: Metrics, paid: Sequence[StageRun], why: str) -> None:
        assert state in ("complete", "failed", "pruned")
        self.history.append(Seen(c, state, metrics, tuple(paid)))  # type: ignore[arg-type]
        self.steps.append(Step(self.ledger.now, c, state, metrics, why))  # type: ignore[arg-type]


def _untrained(table: Table, row: Row) -> Iterator[StageRun]:
    """Yield the stages of building and measuring a shape untrained: as recorded, else with the trained one's costs."""
    known = table.untrained.get(row.candidate.hash)
    if known is not None:
        yield from known.stages
        return
    for stage in row.stages:
        if stage.name in _BEFORE_TRAINING:
            yield stage
        elif stage.name in _UNTRAINED:
            yield replace(stage, key=f"untrained:{stage.key}")


def _performance(row: Row) -> Metrics:
    quality = ("accuracy", "f1")
    return {n: e for n, e in row.metrics.items() if e is not None and not n.startswith(quality)}


__all__ = ["replay_aware"]
