"""Cards: what is offered within the limits, and what each offer costs against the baseline, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from dashboard.text import cut
from dashboard.views.numbers import NONE, SHOWN, against, interval_text, is_known, metric_text
from tuner.metrics import COSTS, LOSS, RATES, TIMES
from tuner.spec.wording import divided_text, format_text, generates

TITLES = {
    "recommended": ("Recommended", "fastest within limits"),
    "knee": ("Knee", "where speed begins to cost"),
    "most accurate": ("Most accurate", "best within limits"),
}


@dataclass(frozen=True)
class Figure:
    """One number of a card: label, value, what it is against the baseline, and its 95 % interval."""

    label: str
    value: str
    change: str
    interval: str
    better: bool | None


@dataclass(frozen=True)
class Offer:
    """One card; `trial` None where nothing is within the limits."""

    name: str
    title: str
    what: str
    trial: int | None
    candidate: str
    figures: tuple[Figure, ...]
    confirmed: bool


def offers(frame: pd.DataFrame, chosen: Mapping[str, int | None], metric: str) -> list[Offer]:
    """Return the cards in their order."""
    return [_offer(frame, name, number, metric) for name, number in chosen.items()]


def _offer(frame: pd.DataFrame, name: str, number: int | None, metric: str) -> Offer:
    title, what = TITLES[name]
    if number is None:
        return Offer(name, title, what, None, "", (), False)
    row, base = row_of(frame, number), baseline_of(frame)
    names = ("latency_ms", metric, "ttft_ms" if generates(metric) else "memory_mb", "size_mb")
    figures = tuple(figure(n, row, base) for n in names)
    return Offer(name, title, what, number, candidate_text(row), figures, bool(row["confirmed"]))


def figure_names(metric: str) -> tuple[str, ...]:
    """Return the metrics that a trial's own numbers begin with, by the study's metric."""
    if generates(metric):
        return ("latency_ms", "speedup", "ttft_ms", "tpot_ms", "tokens_per_s", metric, LOSS[metric], "agreement",
                "choice_accuracy", "memory_mb", "size_mb", "energy_j", *COSTS)  # fmt: skip
    return (
        "latency_ms",
        "speedup",
        metric,
        LOSS[metric],
        "throughput",
        "memory_mb",
        "size_mb",
        "energy_j",
        COSTS[0],
    )


def row_of(frame: pd.DataFrame, number: int) -> pd.Series:
    """Return one trial's row."""
    return frame.loc[frame["number"] == number].iloc[0]


def baseline_of(frame: pd.DataFrame) -> pd.Series | None:
    """Return the baseline's row, None before it was measured."""
    found = frame[frame["is_baseline"] & (frame["state"] == "complete")]
    return None if found.empty else found.iloc[0]


def figure(name: str, row: pd.Series, base: pd.Series | None) -> Figure:
    """Return a metric of a trial, against the baseline."""
    value, other = row[name], None if base is None else _beside(name, row, base)
    change = against(name, value, other)
    better = None
    if change and is_known(value) and other is not None and is_known(other) and not change.startswith("±"):
        better = bool((value < other) == SHOWN[name].lower_is_better)
    return Figure(
        SHOWN[name].label,
        metric_text(name, value),
        change,
        interval_text(name, row[f"{name}_low"], value, row[f"{name}_high"]),
        better,
    )


def _beside(name: str, row: pd.Series, base: pd.Series) -> float | None:
    """Return the baseline's value as it is on the trial's own host: milliseconds of two hosts are not compared."""
    if row["host"] == base["host"] or name not in METRICS_OF_A_HOST:
        return float(base[name])
    if name != "latency_ms" or not is_known(row["speedup"]):
        return None  # not known for this host
    return float(row["latency_ms"] * row["speedup"])


#: What the same artefact does differently elsewhere.
METRICS_OF_A_HOST = {*TIMES, *RATES, "energy_j"}


def candidate_text(row: pd.Series) -> str:
    """Return a candidate in words: `1 layer, heads −75 %, int8 static, openvino (fixed shape), 2 threads`."""
    layers = int(row["student_layers"])
    parts = [f"{layers} layer{'s' if layers > 1 else ''}"]
    parts += [
        f"{what} −{row[f]:.0%}".replace("%", "\u00a0%")
        for f, what in (("heads", "heads"), ("ffn", "FFN"))
        if row[f]
    ]
    number = format_text(row["bits"], row["scheme"]).replace("weight-only", "weights")
    method = "" if pd.isna(row["method"]) else f" ({cut(row['method'], 20)})"
    parts.append(number + method)
    if is_known(row["kv_bits"]):
        parts.append(f"KV cache in {int(row['kv_bits'])} bits")
    parts.append(cut(row["engine"], 40) + (" (fixed shape)" if row["fixed_shape"] else ""))
    threads, replicas = int(row["threads"]), int(row["replicas"])
    parts.append(
        f"{threads} thread{'s' if threads > 1 else ''}"
        + (f" × {replicas} replicas" if replicas > 1 else "")
        + divided_text(row["tensor"], row["pipeline"])
    )
    return ", ".join(parts)


def best_text(speedup: float | None, loss: float | None, metric: str = "accuracy") -> str:
    """Return the best point in a few signs, for lists: `−88 % latency, −0.4 pt`, `−88 % latency, +7.1 % perplexity`."""
    if not is_known(speedup) or not speedup:
        return NONE
    latency = (1 / speedup - 1) * 100
    digits = 1 if latency < -99 else 0
    sign = "±" if abs(latency) < 0.5 else "−" if latency < 0 else "+"
    text = f"{sign}{abs(latency):.{digits}f} % latency"
    if loss is None or not is_known(loss):
        return text
    points = (loss if generates(metric) else -loss) * 100
    if generates(metric):
        return f"{text}, {'−' if points < 0 else '+'}{abs(points):.1f} % perplexity"
    return f"{text}, " + (
        "±0.0 pt" if abs(points) < 0.05 else f"{'−' if points < 0 else '+'}{abs(points):.1f} pt"
    )
