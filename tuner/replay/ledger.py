"""Ledger: a virtual clock, and what of a study's stages was paid for already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tuner.stage import StageRun

#: Seconds of finding a stage in the cache.
FOUND = 0.005


@dataclass
class Ledger:
    """One study's virtual time in seconds, and the keys of the stages it has made."""

    now: float = 0.0
    made: set[str] = field(default_factory=set)

    def pay(self, stages: Iterable[StageRun]) -> list[StageRun]:
        """Run these stages: each costs its recorded seconds the first time, and next to nothing afterwards.

        A failure is not kept: whoever runs into it again pays again.
        """
        return [self._paid(stage) for stage in stages]

    def _paid(self, stage: StageRun) -> StageRun:
        hit = stage.key in self.made
        seconds = FOUND if hit else stage.seconds
        self.now += seconds
        if stage.name != "failed":
            self.made.add(stage.key)
        return StageRun(stage.name, stage.key, hit, seconds)
