"""The fidelity's table: does a latency stay the same while a neighbour loads one core at random?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.reporting.markdown import table, where

_HOW = (("raw", "a stopwatch (raw median)"), ("corrected", "ours (ratio to the interleaved reference)"))


def fidelity(found: Mapping[str, Any]) -> str:
    """Return the table of repeatability and ranking."""
    setting = found["setting"]
    head = ["", "IQR / median", "largest / smallest", "rank correlation of two rounds"]
    rows = [_row(found, key, words) for key, words in _HOW]
    what = f"One artefact measured {setting['repeats']} times; {setting['artefacts']} artefacts ranked twice."
    return f"{what}\n\n{table(head, rows)}\n\n{where({**found['host'], 'versions': found['versions']})}"


def _row(found: Mapping[str, Any], key: str, words: str) -> list[str]:
    spread, rank = found["repeatability"][key], found["ranking"][key]
    return [words, f"{spread['iqr_over_median']:.1%}", f"{spread['max_over_min']:.2f}", f"{rank:.3f}"]
