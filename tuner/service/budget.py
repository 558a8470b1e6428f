"""Budget: what a study has spent, in distinct candidates and in seconds, and what is left of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from tuner.spec.model import Budget
from tuner.store.trials import Span


@dataclass(frozen=True)
class Spent:
    """Distinct candidates that were measured or failed, and the seconds in which at least one of them ran."""

    candidates: int
    seconds: float

    @classmethod
    def of(cls, spans: Sequence[Span]) -> Spent:
        """Sum trials up; time in which several workers ran one counts once: it is wall time that a user spends."""
        return cls(len({found for found, _, _ in spans}), _union([(a, b) for _, a, b in spans]))

    @classmethod
    def kept(cls, summary: Mapping[str, Any]) -> Spent | None:
        """Return what a study's summary holds, None where nothing had ended when it was written."""
        return cls(**found) if (found := summary.get("spent")) else None

    def to_json(self) -> dict[str, Any]:
        """Return what `kept` reads."""
        return asdict(self)

    def over(self, budget: Budget, active: int = 0) -> bool:
        """Say whether nothing more may be asked for; `active` candidates are queued or run."""
        trials = budget.trials is not None and self.candidates + active >= budget.trials
        return trials or (budget.minutes is not None and self.seconds >= budget.minutes * 60)

    def seconds_left(self, budget: Budget) -> float | None:
        """Return the seconds left by the part of the budget that ends first, as far as it can be told."""
        mean = self.seconds / self.candidates if self.candidates else None
        known = [] if budget.minutes is None else [max(budget.minutes * 60 - self.seconds, 0.0)]
        if budget.trials is not None and mean is not None:
            known.append(max(budget.trials - self.candidates, 0) * mean)
        return min(known) if known else None


def _union(spans: list[tuple[datetime, datetime]]) -> float:
    total, end = 0.0, None
    for start, stop in sorted(spans):
        begin = start if end is None else max(start, end)
        total += max((stop - begin).total_seconds(), 0.0)
        end = stop if end is None else max(end, stop)
    return total
