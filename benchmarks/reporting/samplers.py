"""The samplers' table: seconds to 95 % of the recorded front's hypervolume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.reporting.markdown import clock, table, where

_MINUTES = (5, 10)
_AUTO = "budget: auto"


def samplers(found: Mapping[str, Any]) -> str:
    """Return one table a goal, and where all of it was measured."""
    parts = [_goal(name, goal) for name, goal in found["goals"].items()]
    return "\n\n".join([*parts, where(found["recorded"])])


def _goal(name: str, goal: Mapping[str, Any]) -> str:
    ours = next(iter(goal["samplers"].values()))["to_95"]["median"]
    head = ["sampler", "to 95 %, median", "10–90 %", "times ours", "seeds that got there"]
    head += [f"share after {minutes} min" for minutes in _MINUTES]
    rows = [_row(sampler, one, ours) for sampler, one in goal["samplers"].items() if sampler != _AUTO]
    parts = [f"**{_title(name)}** ({goal['candidates']} candidates)", table(head, rows)]
    return "\n\n".join([*parts, *_ended(goal["samplers"].get(_AUTO))])


def _ended(auto: Mapping[str, Any] | None) -> list[str]:
    """Return when a search that ends by itself ended, and with what."""
    if auto is None:
        return []
    when, share = clock(auto["spent"]), f"{auto['end_share']:.1%}"
    return [
        f"With `budget: auto` ours ends by itself after {when} (median), with {share} of the hypervolume."
    ]


def _title(name: str) -> str:
    return "The whole front" if name == "whole front" else "Within the study's constraints"


def _row(name: str, one: Mapping[str, Any], ours: float | None) -> list[str]:
    to, reached = one["to_95"], f"{one['reached_95']:.0%}"
    times = "–" if to["median"] is None or not ours else f"{to['median'] / ours:.1f}"
    return [
        name,
        clock(to["median"]),
        f"{clock(to['p10'])} – {clock(to['p90'])}",
        times,
        reached,
        *_after(one),
    ]


def _after(one: Mapping[str, Any]) -> list[str]:
    """Return the median share after some minutes; the last known one where the study had ended before."""
    shares, seconds = one["share"]["median"], one["seconds"]
    found = []
    for minutes in _MINUTES:
        known = [share for second, share in zip(seconds, shares, strict=True) if second <= 60 * minutes]
        found.append(f"{known[-1]:.3f}" if known else "–")
    return found
