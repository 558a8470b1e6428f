"""Beside: which hardware? What hosts (or studies) offer, side by side, and which of them is best at what."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tuner.metrics import COSTS, METRICS, Estimate
from tuner.service.contenders import Contender
from tuner.service.placing import shown

#: What hardware is chosen by, and the words for who is best at it.
ASKED = {
    "latency_ms": "fastest",
    "throughput": "most throughput",
    "energy_j": "least energy",
    "cost_per_million": "cheapest",
}
_BASELINE = "baseline"
_OPEN = 1e100  # stored for an end that is open


@dataclass(frozen=True)
class Offered:
    """One trial of a contender and what it is good for: `baseline`, `fastest`, `cheapest` … of all that is feasible."""

    contender: str
    roles: tuple[str, ...]
    trial: int
    candidate: str
    metrics: Mapping[str, Estimate]

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data."""
        plain = {name: estimate.model_dump() for name, estimate in self.metrics.items()}
        return {**vars(self), "roles": list(self.roles), "metrics": plain}


@dataclass(frozen=True)
class Best:
    """Who is best by a metric; `tied` are those whose intervals reach the best one's.

    `times` is by what factor the next one is behind.
    """

    metric: str
    contender: str
    trial: int
    estimate: Estimate
    tied: tuple[str, ...]
    times: float | None

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {**vars(self), "estimate": self.estimate.model_dump(), "tied": list(self.tied)}


def offered(found: Mapping[str, Contender]) -> list[Offered]:
    """Return of each contender its baseline and what is best at something, a trial that is best at several once."""
    return [one for name, each in found.items() for one in _of(name, each)]


def currency(found: Mapping[str, Contender]) -> str:
    """Return the currency of all prices, "" where there is none or they differ."""
    prices = [each.info.spec.get("price") for each in found.values()]
    named = {price["currency"] for price in prices if price}
    return named.pop() if len(named) == 1 else ""


def best_by(rows: Sequence[Offered], money: str) -> list[Best]:
    """Return who is best at each of `ASKED` that at least two contenders know of themselves.

    Costs are compared only where all are in one currency, `money`.
    """
    asked = {metric: role for metric, role in ASKED.items() if money or metric not in COSTS}
    return [best for metric, role in asked.items() if (best := _best(rows, metric, role)) is not None]


def _of(name: str, each: Contender) -> Iterator[Offered]:
    frame, roles = each.frame, dict[int, list[str]]()
    base = frame[frame["is_baseline"] & (frame["state"] == "complete")]
    if len(base):
        roles[int(base["number"].iloc[0])] = [_BASELINE]
    rows = frame[frame["feasible"] & shown(frame)]
    for metric, role in ASKED.items():
        known = rows[rows[metric].notna()].sort_values(metric, ascending=METRICS[metric][1] == "minimize")
        if len(known):
            roles.setdefault(int(known["number"].iloc[0]), []).append(role)
    quality = each.info.metric
    for number, good in roles.items():
        row = frame.loc[frame["number"] == number].iloc[0]
        yield Offered(name, tuple(good), number, str(row["label"]), _metrics(row, quality))


def _metrics(row: pd.Series, quality: str) -> dict[str, Estimate]:
    wanted = (quality, "latency_ms", "speedup", "throughput", "energy_j", "cost_per_million")
    return {name: _estimate(row, name) for name in wanted if not math.isnan(row[name])}


def _estimate(row: pd.Series, name: str) -> Estimate:
    """Return a metric; an end of its interval that is open, or so far off that it says nothing, is its value."""
    value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    ends = (value if math.isnan(end) or abs(end) > _OPEN else end for end in (low, high))
    return Estimate(value=value, **dict(zip(("low", "high"), ends, strict=True)))


def _best(rows: Sequence[Offered], metric: str, role: str) -> Best | None:
    known = {one.contender: one for one in rows if role in one.roles}
    if len(known) < 2:
        return None
    sign = 1 if METRICS[metric][1] == "minimize" else -1
    first, second, *_ = ranked = sorted(known.values(), key=lambda one: sign * one.metrics[metric].value)
    best, values = first.metrics[metric], (second.metrics[metric].value, first.metrics[metric].value)
    worse = best.high if sign > 0 else -best.low
    tied = [o.contender for o in ranked[1:] if _better_end(o.metrics[metric], sign) <= worse]
    times = max(values) / min(values) if min(values) > 0 else None
    return Best(metric, first.contender, first.trial, best, tuple(tied), times)


def _better_end(estimate: Estimate, sign: int) -> float:
    return estimate.low if sign > 0 else -estimate.high
