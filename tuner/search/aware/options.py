"""Options: the parts of the stage-aware search, each of which can be switched off."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What the search does beside proposing by expected gain.

    Args:
        by_cost: to which power a proposal's expected gain is divided by the seconds it would still cost, given what is
            made already; 0 ignores them, 1 is gain per second. A student serves many later candidates: full cost
            would put it off for ever cheaper sweeps (as Lee et al. 2020, arXiv 2003.10870, found of EI per cost).
        first: how many of the candidates that a person would try come first, the baseline among them.
        gate: build and measure a new shape untrained where that is likely to save its recovery.
        subsets: judge quality in growing subsets, and stop when the point is surely beaten or infeasible.
        let_through: share of hopeless points that are paid for all the same, to keep the gate honest.
        pool: candidates among which one is chosen; of a larger space so many are drawn.
        sigmas: how optimistic the gate is about a quality that is not known yet.
    """

    by_cost: float = 0.5
    first: int = 1
    gate: bool = False
    subsets: bool = False
    let_through: float = 0.05
    pool: int = 2000
    sigmas: float = 2.0
