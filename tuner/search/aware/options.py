"""Options: the parts of the stage-aware search, each of which can be switched off."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What the search does beside proposing by expected gain.

    Args:
        by_cost: weigh a proposal's expected gain by the seconds it would still cost, given what is made already.
        gate: build and measure a new shape untrained where that is likely to save its recovery.
        subsets: judge quality in growing subsets, and stop when the point is surely beaten or infeasible.
        let_through: share of hopeless points that are paid for all the same, to keep the gate honest.
        pool: candidates among which one is chosen; of a larger space so many are drawn.
        sigmas: how optimistic the gate is about a quality that is not known yet.
        warm: learn from earlier studies too.
    """

    by_cost: bool = True
    gate: bool = True
    subsets: bool = True
    let_through: float = 0.05
    pool: int = 2000
    sigmas: float = 2.0
    warm: bool = True
