"""A whole study on a table: the coordinator's loop without a database, in virtual time.

The same space, seeds, sampler, objectives and rules for repeated candidates as `service/coordinator.py` has; a test
holds the two to the same candidates. Through the database a trial takes some 50 ms, here as long as the sampler thinks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from tuner.candidate import Candidate
from tuner.replay.flat import FlatSpace
from tuner.replay.ledger import Ledger
from tuner.replay.table import Row, Table
from tuner.replay.trace import Step, Trace
from tuner.search import asktell
from tuner.search.objective import constraint_values, told_values
from tuner.search.sampler import make_sampler
from tuner.search.seeds import seeds

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

REPEATS = 10  # as the coordinator has it
_NAME = "replay"


def _never(step: Step) -> bool:
    return False


@dataclass(frozen=True)
class Budget:
    """When a replayed study ends: virtual `seconds`, so many distinct candidates, or when what it found is `enough`."""

    seconds: float = 3600.0
    trials: int = 10_000
    enough: Callable[[Step], bool] = _never

    def over(self, steps: Sequence[Step], seconds: float) -> bool:
        """Say whether a study of these steps, the last one new, is at its end."""
        spent = seconds >= self.seconds or len(steps) >= self.trials
        return spent or (bool(steps) and self.enough(steps[-1]))


WHOLE = Budget()


def replay(
    table: Table,
    sampler: str | Callable[[int], BaseSampler],
    seed: int,
    budget: Budget = WHOLE,
    seeded: bool = True,
    flat: bool = False,
) -> Trace:
    """Return what a study with one of Optuna's samplers finds: a name of ours, or what makes one from a seed.

    `seeded`: the candidates that a person would try come first, as in every study of ours. `flat`: the sampler sees
    a space without conditions.
    """
    made = make_sampler(sampler, seed) if isinstance(sampler, str) else sampler(seed)
    return _Loop(table, made, seed, seeded, flat).run(budget)


@dataclass
class _Loop:
    table: Table
    sampler: BaseSampler
    seed: int
    seeded: bool
    flat: bool = False
    ledger: Ledger = field(default_factory=Ledger)
    steps: list[Step] = field(default_factory=list)
    repeats: int = 0

    def run(self, budget: Budget) -> Trace:
        from optuna.storages import InMemoryStorage

        self._space = self.table.space
        shown: Any = FlatSpace(self._space) if self.flat else self._space  # as samplers see it
        self._shown = shown
        self._study = asktell.create_or_load(
            InMemoryStorage(), _NAME, self.table.spec.objectives, self._shown, self.sampler
        )
        self._queue = (
            [c for c in seeds(self._space, self.table.spec.task) if c.hash in self.table.rows]
            if self.seeded
            else []
        )
        self._known: dict[str, Row] = {}
        while not budget.over(self.steps, self.ledger.now) and self._turn():
            pass
        return Trace(self.steps, self.ledger.now)

    def _turn(self) -> bool:
        """Evaluate one new candidate; False if there is none left."""
        seed = next((c for c in self._queue if c.hash not in self._known), None)
        if seed is not None:
            return self._tried(seed)
        while self.repeats < REPEATS:
            if self._tried(None):
                return True
        rng = Random(f"{self.seed}:{len(self._known)}")
        untried = self._space.untried(self._known, rng)
        return untried is not None and self._tried(untried)

    def _tried(self, fixed: Candidate | None) -> bool:
        """Evaluate what is asked for; a repeated candidate is answered at once, and False."""
        if fixed is not None and fixed not in self._space:
            self._evaluate(fixed)
            return True
        trial, candidate = asktell.ask(self._study, self._shown, fixed)
        known = self._known.get(candidate.hash)
        self.repeats = 0 if known is None else self.repeats + 1
        if known is None:
            self._evaluate(candidate)
        self._tell(trial, self.table.rows[candidate.hash])
        return known is None

    def _evaluate(self, candidate: Candidate) -> None:
        row = self._known[candidate.hash] = self.table.rows[candidate.hash]
        self.ledger.pay(row.stages)
        self.steps.append(step(row, self.ledger.now))

    def _tell(self, trial: Any, row: Row) -> None:
        spec = self.table.spec
        values = told_values(spec.objectives, row.metrics)
        constraints = constraint_values(spec.parsed_constraints(), row.metrics)
        if row.failure is not None or values is None:
            asktell.tell_pruned(self._study, trial, constraints)
        else:
            asktell.tell_complete(self._study, trial, values, constraints)


def step(row: Row, seconds: float) -> Step:
    """Return how a row's candidate ended, at that virtual time."""
    failure = row.failure
    return Step(
        seconds,
        row.candidate,
        "complete" if failure is None else "failed",
        row.metrics,
        "" if failure is None else f"{failure.kind}: {failure.reason}",
    )
