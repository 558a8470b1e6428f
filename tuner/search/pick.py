"""Pick: one point of a front, by a rule that a person would state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tuner.errors import InputError, NoFeasibleTrialError
from tuner.metrics import LOSS
from tuner.search.front import Point, front, knee
from tuner.spec.nearest import did_you_mean

STRATEGIES = ("fastest", "knee", "most-accurate", "cheapest")


def pick(
    points: Iterable[Point],
    strategy: str = "fastest",
    max_loss: float | None = None,
    objectives: Sequence[str] = ("accuracy", "latency_ms"),
    metric: str = "accuracy",
) -> Point:
    """Return the best feasible point by a strategy.

    `fastest`: lowest `latency_ms`, of a study that looks for it the highest `server_rate`; `most-accurate`: best
    `metric`, ties to the faster; `cheapest`: fewest `cores`, ties to the less memory; `knee`: see `front.knee`.
    `max_loss` (a fraction) keeps only points that lose at most that of `metric` (`LOSS`), by its value; without it
    `fastest` is the fastest at any quality that the study's constraints allow.

    Raises:
        InputError: an unknown strategy, or a negative loss.
        NoFeasibleTrialError: no feasible point is left.
    """
    if strategy not in STRATEGIES:
        raise InputError(f"unknown pick {strategy!r}{did_you_mean(strategy, STRATEGIES)}")
    kept = [p for p in points if p.feasible]
    if not kept:
        raise NoFeasibleTrialError(
            "no feasible trial: none meets the study's constraints; loosen them or search longer"
        )
    kept = _within(kept, LOSS[metric], max_loss)
    chosen = (
        knee(kept, objectives)
        if strategy == "knee"
        else _extreme(kept, order_of(strategy, objectives, metric))
    )
    if chosen is None:
        raise NoFeasibleTrialError(
            f"no feasible trial has what {strategy!r} looks at: {', '.join(objectives)}"
        )
    return chosen


def _within(points: list[Point], loss: str, limit: float | None) -> list[Point]:
    if limit is None:
        return points
    if not 0 <= limit <= 1:
        raise InputError(f"max_loss: must be a fraction between 0 and 1 (got {limit:g})")
    known = [(p, value) for p in points if (value := p.value(loss)) is not None]
    kept = [p for p, value in known if value <= limit]
    if not kept:
        least = f"; the least of a feasible trial is {min(v for _, v in known):.4g}" if known else ""
        raise NoFeasibleTrialError(f"no feasible trial has {loss} <= {limit:g}{least}")
    return kept


def order_of(strategy: str, objectives: Sequence[str], metric: str) -> list[str]:
    """Return the metrics that a strategy goes by, the first counting most; those of all but the knee."""
    if strategy == "cheapest":
        return ["cores", "memory_mb"]
    fastest = ["server_rate" if "server_rate" in objectives else "latency_ms", metric]
    return fastest if strategy == "fastest" else fastest[::-1]


def _extreme(points: list[Point], order: list[str]) -> Point | None:
    ranked = front(points, order[::-1])  # ordered from the last objective: ours of first rank
    return ranked[0] if ranked else None
