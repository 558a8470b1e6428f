"""Constraint: `accuracy_drop <= 0.01` as an object that says by how much a trial misses it."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from typing import Literal, cast

from tuner.errors import InputError
from tuner.metrics import METRICS, Metrics
from tuner.spec.nearest import did_you_mean

Operator = Literal["<=", ">=", "<", ">"]

_FORM = re.compile(r"^\s*([A-Za-z_]\w*)\s*(<=|>=|<|>)\s*(\S+?)(\s*%)?\s*$")
_AND = re.compile(r"\s+and\s+|\s*&&?\s*|\s*,\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Constraint:
    """A bound on one metric, in the metric's own unit (`tuner.metrics.METRICS`)."""

    metric: str
    op: Operator
    bound: float

    def violation(self, metrics: Metrics) -> float | None:
        """Return how far the metric's value is beyond the bound: at most 0 if met, None if unmeasured."""
        estimate = metrics.get(self.metric)
        if estimate is None or math.isnan(estimate.value):
            return None
        excess = estimate.value - self.bound if self.op in ("<", "<=") else self.bound - estimate.value
        if excess == 0 and self.op in ("<", ">"):
            return sys.float_info.min  # a strict bound is missed by its own value, however little
        return excess

    def __str__(self) -> str:
        return f"{self.metric} {self.op} {self.bound:g}"


def parse_constraint(text: str) -> Constraint:
    """Read `METRIC OP NUMBER`; OP is one of `<= >= < >`, and a fraction may be written as a percentage.

    Raises:
        InputError: not of that form, an unknown metric, or a bound that is no finite number.
    """
    match = _FORM.match(text)
    if match is None:
        raise InputError(
            f"{text!r} is not a constraint; write METRIC <= NUMBER, such as 'accuracy_drop <= 0.01'"
        )
    metric, op, number, percent = match.groups()
    if metric not in METRICS:
        raise InputError(f"unknown metric {metric!r}{did_you_mean(metric, METRICS)}")
    return Constraint(metric, cast(Operator, op), _bound(number, bool(percent), metric, text))


def parse_where(text: str) -> list[Constraint]:
    """Read constraints joined by `and`: `latency_ms<=5 and accuracy_drop<=0.01`. Nothing gives an empty list.

    Raises:
        InputError: one of them cannot be read; `or` is not supported.
    """
    return [parse_constraint(part) for part in _AND.split(text.strip())] if text.strip() else []


def _bound(number: str, percent: bool, metric: str, text: str) -> float:
    if number.endswith("%"):
        number, percent = number[:-1], True
    try:
        bound = float(number)
    except ValueError:
        raise InputError(f"{text!r}: {number!r} is not a number") from None
    if not math.isfinite(bound):
        raise InputError(f"{text!r}: the bound must be a finite number")
    if percent and METRICS[metric][0] != "fraction":
        unit = METRICS[metric][0]
        raise InputError(
            f"{text!r}: {metric} is {f'in {unit}' if unit else 'a number'}, not a fraction: write it without %"
        )
    return bound / 100 if percent else bound
