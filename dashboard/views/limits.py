"""Limits: the steps of the sliders by which a person says how slow, how inaccurate and how large is still good enough.

Steps are texts, `any` among them: they stand in the address of the page as they stand on the slider.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

ANY = "any"
_E12 = (1.0, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2)
_ROUND = (1.0, 2.0, 5.0)
INCREASES = (0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0)
DROPS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)


def latency_steps(baseline_ms: float | None) -> list[str]:
    """Return steps from a thousandth of the baseline's decade to ten times it; the same as long as it is roughly so."""
    decade = 0 if not baseline_ms or baseline_ms <= 0 else math.floor(math.log10(baseline_ms))
    values = [base * 10.0**power for power in range(decade - 3, decade + 2) for base in _E12]
    return [*(f"{value:.3g} ms" for value in values), ANY]


def size_steps(unit: str = "MB") -> list[str]:
    """Return steps from 1 MB to 100 GB."""
    return [*(f"{base * 10**power:g} {unit}" for power in range(5) for base in _ROUND), f"100000 {unit}", ANY]


def drop_steps() -> list[str]:
    """Return steps in points of quality lost against the baseline."""
    return [*(f"{value:g} pt" for value in DROPS), ANY]


def increase_steps() -> list[str]:
    """Return steps in per cent of perplexity gained over the baseline."""
    return [*(f"+{value:g} %" for value in INCREASES), ANY]


def value_of(step: str | None) -> float | None:
    """Return the number on a step in its own unit (points and per cent as a fraction); None for `any`, or no step."""
    if not step or step == ANY:
        return None
    number, _, unit = step.partition(" ")
    try:
        return float(number) / 100 if unit in ("pt", "%") else float(number)
    except ValueError:
        return None


def limits_of(steps: Mapping[str, str | None]) -> dict[str, float]:
    """Return metric and bound of each slider that is not at `any`. A whisker is added: 0.1 pt is no exact float."""
    found = {name: value_of(step) for name, step in steps.items()}
    return {name: value + 1e-9 for name, value in found.items() if value is not None}
