"""Load: one run of MLPerf's server scenario: requests come by a schedule, whoever is free answers who waits longest.

Arrivals are open-loop: they do not wait for answers, and a request's latency counts from the moment at which it was
scheduled. Who starts his clock when a request is sent leaves out the wait that he has caused himself ("coordinated
omission"). The dispatcher sleeps until a request, an answer or the end of a wait, all in one thread.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile

import numpy as np

from tuner.measure.arrivals import Moments
from tuner.measure.client import Serving
from tuner.measure.line import Line

_LEAD = 0.005  # seconds from the start of a run to its clock's zero
_LONGEST = 1.0  # seconds that it sleeps at most


@dataclass(frozen=True)
class Limits:
    """When to end a run before all have come: too many answers are late already, or the oldest has waited too long.

    `bound_ms` is what counts as late; None for the others means never.
    """

    bound_ms: float
    allowed: int | None = None
    longest_ms: float | None = None


@dataclass(frozen=True)
class Load:
    """What a run was like: `latencies_ms` of all that came, by their age where they were not answered any more.

    `ended`: whole, over, or overload (see `Limits`). `batch` is how many were answered together on average, `late_ms`
    how late the dispatcher itself was, as a median, `seconds` what it took.
    """

    latencies_ms: list[float]
    ended: str
    answered: int
    batch: float
    late_ms: float
    seconds: float

    @property
    def whole(self) -> bool:
        """Say whether all requests came and were answered."""
        return self.ended == "whole"


def run_load(
    servings: Sequence[Serving], arrivals: Moments, line: Line, calls: int, limits: Limits | None = None
) -> Load:
    """Offer requests that come at `arrivals` (requests,), in seconds, to replicas that hold a plan of so many `calls`.

    Raises:
        JobError: a replica failed.
    """
    return _Run(servings, arrivals, line, calls, limits).run()


class _Run:
    def __init__(
        self, servings: Sequence[Serving], arrivals: Moments, line: Line, calls: int, limits: Limits | None
    ) -> None:
        self._arrivals, self._line, self._calls, self._limits = arrivals, line, calls, limits
        self._idle, self._busy = deque(servings), dict[Serving, list[int]]()
        self._given: dict[Serving, float] = {}
        self._ends = np.full(len(arrivals), np.nan)
        self._come, self._late, self._batches, self._delays = 0, 0, 0, list[float]()

    def run(self) -> Load:
        self._begin = time.monotonic() + _LEAD
        ended = self._until_ended()
        now = self._now()
        self._drain()
        ages = np.where(np.isnan(self._ends), now, self._ends)[: self._come] - self._arrivals[: self._come]
        answered = int((~np.isnan(self._ends)).sum())
        late = float(np.median(self._delays)) * 1e3 if self._delays else 0.0
        batch = answered / max(self._batches, 1)
        return Load([round(1e3 * age, 4) for age in ages.tolist()], ended, answered, batch, late, now)

    def _now(self) -> float:
        return time.monotonic() - self._begin

    def _until_ended(self) -> str:
        while self._busy or self._line or self._come < len(self._arrivals):
            self._admit()
            self._hand_out()
            if (why := self._why_end()) is not None:
                return why
            self._collect(self._pause())
        return "whole"

    def _admit(self) -> None:
        """Let in who should have come by now."""
        now = self._now()
        while self._come < len(self._arrivals) and self._arrivals[self._come] <= now:
            self._line.add(float(self._arrivals[self._come]), self._come)
            self._delays.append(now - float(self._arrivals[self._come]))
            self._come += 1

    def _hand_out(self) -> None:
        while self._idle and (batch := self._line.take(self._now())):
            serving = self._idle.popleft()
            serving.begin_together([request % self._calls for request in batch])
            self._busy[serving], self._given[serving] = batch, time.monotonic()
            self._batches += 1

    def _pause(self) -> float:
        """Return the seconds until something is to be done, if no answer comes before."""
        due = self._line.due() if self._idle else None
        coming = float(self._arrivals[self._come]) if self._come < len(self._arrivals) else None
        moments = [moment for moment in (due, coming) if moment is not None]
        return min(max(min(moments, default=np.inf) - self._now(), 0.0), _LONGEST)

    def _collect(self, seconds: float) -> None:
        """Wait so long for answers, and take those that are there."""
        answering = select.select(list(self._busy), [], [], seconds)[0]
        for serving in answering:
            serving.end_together()
            self._answered(serving)
        for serving in [] if answering else self._busy:
            serving.look(self._given[serving])

    def _answered(self, serving: Serving) -> None:
        batch = self._busy.pop(serving)
        self._ends[batch] = self._now()
        if self._limits is not None:
            self._late += int((self._ends[batch] - self._arrivals[batch] > self._limits.bound_ms / 1e3).sum())
        self._idle.append(serving)

    def _why_end(self) -> str | None:
        limits, now = self._limits, self._now()
        if limits is None:
            return None
        oldest = next(chain(self._computing(), (moment for moment, _ in self._line)), now)
        if limits.longest_ms is not None and now - oldest > limits.longest_ms / 1e3:
            return "overload"
        if limits.allowed is not None and self._late + self._overdue(now, limits.bound_ms) > limits.allowed:
            return "over"
        return None

    def _overdue(self, now: float, bound_ms: float) -> int:
        """Return how many of those that are not answered yet are late already."""
        latest = now - bound_ms / 1e3
        waiting = sum(1 for _ in takewhile(lambda one: one[0] < latest, self._line))
        return waiting + sum(moment < latest for moment in self._computing())

    def _computing(self) -> Iterator[float]:
        """Yield when each request came that a replica answers at the moment, the longest at it first."""
        yield from (float(self._arrivals[request]) for batch in self._busy.values() for request in batch)

    def _drain(self) -> None:
        """Wait for who computes still: the next run finds all replicas idle."""
        for serving in self._busy:
            serving.end_together()
