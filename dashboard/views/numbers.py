"""Numbers as a person reads them: always with a unit, never with more digits than are known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tuner.metrics import COSTS, LOST, METRICS, OPEN
from tuner.spec.wording import loss_unit

MINUS, NONE = "−", "–"


@dataclass(frozen=True)
class Shown:
    """How a metric is shown: its label, unit, and the factor from the stored to the shown value."""

    label: str
    unit: str
    scale: float = 1.0
    lower_is_better: bool = True

    @property
    def title(self) -> str:
        """Return the label with its unit, for axes and columns."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def with_unit(self, number: str) -> str:
        """Return a number with the unit behind it."""
        return number + ("×" if self.unit == "×" else f"\u00a0{self.unit}" if self.unit else "")


_LABELS = {
    "accuracy": "Accuracy", "accuracy_drop": "Accuracy drop", "f1_macro": "Macro F1", "f1_macro_drop": "Macro F1 drop",
    "latency_ms": "Latency", "latency_p90_ms": "Latency, 90th percentile",
    "latency_p99_ms": "Latency, 99th percentile", "speedup": "Speedup", "throughput": "Throughput",
    "memory_mb": "Memory", "size_mb": "Size on disk", "energy_j": "Energy",
    "cost_per_million": "Cost of a million requests", "cost_per_million_tokens": "Cost of a million tokens",
    "perplexity": "Perplexity", "perplexity_increase": "Perplexity increase", "agreement": "Agreement",
    "choice_accuracy": "Multiple choice", "choice_accuracy_drop": "Multiple choice drop",
    "ttft_ms": "First token", "ttft_p90_ms": "First token, 90th percentile",
    "ttft_p99_ms": "First token, 99th percentile", "tpot_ms": "Each further token",
    "server_p50_ms": "Under load, median", "server_p90_ms": "Under load, 90th percentile",
    "server_p99_ms": "Under load, 99th percentile", "server_rate": "Largest rate", "cores": "Cores",
    "itl_p99_ms": "Gap between tokens, 99th percentile", "tokens_per_s": "Tokens",
}  # fmt: skip
_UNITS = {
    "fraction": "%",
    "x": "×",
    "samples/s": "/s",
    "tokens/s": "/s",
    "J/request": "J per request",
    "requests/s": "/s",
    "cores": "",
    **{METRICS[name][0]: "" for name in COSTS},
}  # of a currency that the study names


def _shown(name: str) -> Shown:
    unit, direction = METRICS[name]
    text = loss_unit(name) if name in LOST else _UNITS.get(unit, unit)
    return Shown(
        _LABELS.get(name, name.replace("_", " ")),
        text,
        100.0 if unit == "fraction" else 1.0,
        direction == "minimize",
    )


#: Every metric, and how it is shown.
SHOWN = {name: _shown(name) for name in METRICS}


def significant(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, thousands apart, and a real minus sign."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    decimals = max(digits - 1 - exponent, 0)
    text = f"{abs(round(value, digits - 1 - exponent)):,.{min(decimals, 6)}f}".replace(",", "\u202f")
    return (MINUS if value < 0 else "") + text


def is_known(value: float | None) -> bool:
    """Say whether there is a number."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def metric_text(name: str, value: float | None) -> str:
    """Return a metric with its unit: `96.5 %`, `0.33 ms`, `73.8×`."""
    if value is None or not is_known(value):
        return NONE
    shown = SHOWN[name]
    number = _number(name, value * shown.scale)
    return shown.with_unit(number)


def _number(name: str, scaled: float) -> str:
    if METRICS[name][0] == "fraction":
        return f"{MINUS if round(scaled, 1) < 0 else ''}{abs(scaled):.1f}"
    if METRICS[name][0] == "cores":
        return f"{scaled:.0f}"
    return significant(scaled)


def interval_text(name: str, low: float | None, value: float | None, high: float | None) -> str:
    """Return the 95 % interval: `0.30 to 0.36 ms`; empty where the value has none."""
    if not (is_known(low) and is_known(high)) or low is None or high is None or low == high:
        return ""
    if abs(low) > OPEN or abs(high) > OPEN:
        return "interval open"
    shown = SHOWN[name]
    return f"{_number(name, low * shown.scale)} to {shown.with_unit(_number(name, high * shown.scale))}"


def against(name: str, value: float | None, base: float | None) -> str:
    """Return what a value costs or saves against the baseline's: `−88 %` for what is measured, `−0.4 pt` for shares."""
    if not (is_known(value) and is_known(base)) or value is None or base is None:
        return ""
    if name in LOST:
        return ""  # it is a change against the baseline itself
    if METRICS[name][0] == "fraction":
        points = (value - base) * 100
        return "±0.0 pt" if abs(points) < 0.05 else f"{_signed(points, 1)}\u00a0pt"
    if not base or name == "speedup":
        return ""
    if value / base >= 3:
        return f"{value / base:.0f}×"
    percent = (value / base - 1) * 100
    digits = 1 if abs(percent) < 10 or percent < -95 else 0
    return "±0 %" if abs(percent) < 0.05 else f"{_signed(percent, digits)}\u00a0%"


def _signed(value: float, digits: int) -> str:
    return f"{MINUS if value < 0 else '+'}{abs(value):.{digits}f}"


def span_text(seconds: float | None) -> str:
    """Return a time span: `45 s`, `3 min`, `2 h 5 min`."""
    if seconds is None or not is_known(seconds):
        return NONE
    if seconds < 10:
        return f"{seconds:.1f}\u00a0s"
    if seconds < 90:
        return f"{seconds:.0f}\u00a0s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes}\u00a0min"
    hours, rest = divmod(minutes, 60)
    return f"{hours}\u00a0h" + (f" {rest}\u00a0min" if rest and hours < 24 else "")


def bytes_text(count: float) -> str:
    """Return a size in decimal units, as disks are sold."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{significant(count / size)}\u00a0{unit}"
    return f"{count:.0f}\u00a0bytes"


def zone_of(name: str | None, offset_minutes: int | None = None) -> tzinfo:
    """Return the viewer's zone; UTC where the browser told none that is known."""
    if name:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            pass
    return timezone(timedelta(minutes=-(offset_minutes or 0)))


def moment_text(at: datetime | None, zone: tzinfo, now: datetime | None = None) -> str:
    """Return a moment in the viewer's zone: `14:05:09` today, `24 Nov, 14:05` otherwise."""
    if at is None:
        return NONE
    here = at.astimezone(zone)
    if now is not None and here.date() == now.astimezone(zone).date():
        return here.strftime("%H:%M:%S")
    return f"{here.day} {here.strftime('%b %Y, %H:%M')}"


def ago_text(at: datetime | None, now: datetime) -> str:
    """Return how long ago a moment was."""
    return NONE if at is None else f"{span_text(max((now - at).total_seconds(), 0.0))} ago"


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun."""
    return f"{count:,}".replace(",", "\u202f") + f" {one if count == 1 else many or one + 's'}"
