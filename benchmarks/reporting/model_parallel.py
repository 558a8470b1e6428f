"""The tables of model parallel: each way to run a model against one process with one thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.reporting.markdown import table, where

_HEAD = ["", "times as fast", "95 % interval", "ms", "memory, MB", "largest difference", "same choices"]


def model_parallel(found: Mapping[str, Any]) -> str:
    """Return a table for each model and load, and what a study with the degrees among its axes came to."""
    parts = [
        f"**{one['work']}**\n\n{table(_HEAD, [_row(way) for way in one['ways']])}" for one in found["works"]
    ]
    return "\n\n".join([*parts, *_study(found["study"]), where(found["host"])])


def _row(way: Mapping[str, Any]) -> list[str]:
    speed, ms = way["speedup"], way["p50_ms"]
    return [
        way["way"],
        f"{speed['value']:.2f}",
        f"{speed['low']:.2f} – {speed['high']:.2f}",
        "–" if ms is None else f"{ms:.3g}",
        f"{way['memory_mb']:.0f}",
        f"{way['off']:.1e}",
        f"{way['same']:.0%}",
    ]


def _study(trials: list[Mapping[str, Any]]) -> list[str]:
    if not trials:
        return []
    told = [f"`{one['run']}` {one['ratio']['value']:.2f}" for one in trials]
    return [
        f"A study with these degrees among its axes, latency against its baseline, the best first: {', '.join(told)}."
    ]
