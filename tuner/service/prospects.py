"""Prospects: a study as the stage-aware search sees it: what it knows by now, and what to try next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tuner.candidate import Candidate
from tuner.hardware import Host
from tuner.metrics import Metrics
from tuner.pipeline.gate import Gate
from tuner.pipeline.metrics import trial_metrics
from tuner.search.aware.decider import Decider
from tuner.search.aware.history import Item, Made, Seen
from tuner.search.aware.options import Options
from tuner.search.aware.outlook import Goal, Outlook
from tuner.search.aware.propose import Ground, promised, propose
from tuner.search.space import Space
from tuner.service.earlier import earlier_trials
from tuner.service.points import is_baseline, search_metrics
from tuner.service.requires import price_of
from tuner.spec.model import Auto, StudySpec
from tuner.store import Store
from tuner.store.records import Study, Trial, TrialState

#: What says something about other candidates; of a larger study the latest so many are looked at.
_ENDED: tuple[TrialState, ...] = ("complete", "failed", "pruned")
_MOST = 1500


@dataclass
class Prospects:
    """Kept by a coordinator from one look to the next: it reads each ended trial once.

    Where each host has a front of its own, they are those of one `host` by name: what another host measured is, as
    that of earlier studies, known by how it lay to the baseline there.
    """

    store: Store
    ground: Ground
    goal: Goal
    seed: int
    metric: str
    earlier: Sequence[Seen] = ()
    host: str | None = None
    _ended: dict[str, Trial] = field(default_factory=dict)
    _promised: tuple[object, float] = (None, 0.0)

    @classmethod
    def of(
        cls, store: Store, study: Study, spec: StudySpec, space: Space, host: str | None = None
    ) -> Prospects:
        """Return a study's prospects (on a host), with what earlier studies say where that is wanted."""
        counts_trials = spec.budget.minutes is None and spec.budget.auto is None  # then each costs the same
        power = 0.0 if counts_trials else spec.search.by_cost
        options = Options(by_cost=power, **spec.search.model_dump(exclude={"warm", "by_cost"}))
        goal = Goal(tuple(spec.objectives), tuple(spec.parsed_constraints()))
        known = earlier_trials(store, study, spec) if spec.search.warm and host is None else []
        ground = Ground(space, study.meta["anatomy"], options, spec.task)
        return cls(store, ground, goal, spec.seed, spec.metric, known, host)

    def begun(self, study: Study) -> bool:
        """Say whether the baseline was measured: before that nothing can be told."""
        return any(seen.state == "complete" and seen.against is None for seen in self._own(study)[:1])

    def tried(self, study: Study) -> int:
        """Return how many candidates are tried, or being tried, of those that these prospects are for."""
        waiting = sum(self._is_here(trial.candidate) for trial in self.store.unfinished(study))
        return waiting + sum(seen.against is None for seen in self._own(study))

    def next(self, study: Study, taken: Collection[str]) -> Candidate | None:
        """Return what to try next, None where nothing is left; `taken` are hashes tried, queued or running."""
        history = self._history(study)
        chosen = propose(self.ground, self._outlook(study, history), history, taken, self.seed)
        return None if chosen is None else chosen.item.candidate

    def gate(self, study: Study, candidate: Candidate, host: Host) -> Gate | None:
        """Return who decides whether to pay on for a candidate on this host; None before there is a front."""
        if not self.begun(study):
            return None
        history, item = self._history(study), Item.of(candidate)
        left = self.ground.costs(history).remaining(item, Made.by(history))

        def metrics(performance: Mapping[str, Any]) -> Metrics:
            clock = study.clocks.get(host.fingerprint, performance["reference_ms"])
            return trial_metrics(performance, {}, clock, price_of(study.spec, host.name))

        outlook = Outlook(self.goal, self.ground.encoder, history)
        return Decider(outlook, item, left, self.ground.options, self.seed, metrics, self.metric)

    def promise(self, study: Study, taken: Collection[str], auto: Auto) -> float:
        """Return the growth in hypervolume, as a share, that the next minutes of search are expected to bring."""
        history, seconds = self._history(study), 60 * auto.minutes
        known = (len(history), len(taken), seconds)
        if self._promised[0] != known:  # asked at every look, while others still measure
            outlook = self._outlook(study, history)
            self._promised = known, promised(self.ground, outlook, history, taken, self.seed, seconds)
        return self._promised[1]

    def _outlook(self, study: Study, history: Sequence[Seen]) -> Outlook:
        here = [t.candidate for t in self.store.unfinished(study) if self._is_here(t.candidate)]
        pending = [Item.of(candidate) for candidate in here]
        return Outlook(self.goal, self.ground.encoder, history, pending)

    def _history(self, study: Study) -> list[Seen]:
        return [*self._own(study), *self.earlier]

    def _own(self, study: Study) -> list[Seen]:
        """Return the study's ended trials, those of other hosts beside their baselines; this one's baseline first."""
        self._ended |= {t.id: t for t in self.store.ended_trials(study, _ENDED, self._ended)}
        trials = list(_in_order(study, self._ended.values(), self._is_here))
        measured = [t for t in trials if t.state == "complete"]
        bases = {t.candidate.backend.host: t for t in measured if is_baseline(study, t.candidate)}
        found = [seen(study, trial) for trial in trials if self._is_here(trial.candidate)]
        for trial in measured:
            base = bases.get(trial.candidate.backend.host)
            if base is not None and not self._is_here(trial.candidate):
                found.append(replace(seen(study, trial), against=search_metrics(study, base)))
        return found

    def _is_here(self, candidate: Candidate) -> bool:
        return self.host is None or candidate.backend.host == self.host


def seen(study: Study, trial: Trial) -> Seen:
    """Return a trial as the search sees it, on the study's clock."""
    state = trial.state
    assert state in ("complete", "failed", "pruned")
    return Seen(trial.candidate, state, search_metrics(study, trial), trial.stages)


def _in_order(study: Study, trials: Collection[Trial], here: Callable[[Candidate], bool]) -> Iterator[Trial]:
    """Yield the trials that count, the measured baseline of `here` first."""
    standing = sorted((t for t in trials if t.discarded_at is None), key=lambda t: t.number)
    bases = [t for t in standing if t.state == "complete" and is_baseline(study, t.candidate)]
    first = [t for t in bases if here(t.candidate)][:1]
    yield from first
    kept = {t.id for t in (*bases, *standing[-_MOST:])} - {t.id for t in first}
    yield from (t for t in standing if t.id in kept)
