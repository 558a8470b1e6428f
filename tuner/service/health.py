"""Health: what a person should know of a study before believing or prolonging it, as short cards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from tuner.service.importance import plain
from tuner.spec.constraint import parse_constraint

Level = Literal["good", "note", "warning", "problem"]
_MANY = 3  # trials from which on "always" means something
_NOISY = 0.25  # half-width of a latency's interval, relative, beyond which a host is called noisy


@dataclass(frozen=True)
class Card:
    """One finding: what it is, what it means, and what to do about it."""

    level: Level
    title: str
    text: str


def health(frame: pd.DataFrame, spec: Mapping[str, Any]) -> list[Card]:
    """Return all findings, the worst first; one good one where there is nothing to say."""
    found = [*_failing(frame), *_constraints(frame, spec), *_bounds(frame, spec), *_noise(frame, spec)]
    order = {"problem": 0, "warning": 1, "note": 2, "good": 3}
    if not found and (frame["state"] == "complete").any():
        found = [
            Card(
                "good",
                "Nothing to worry about",
                "No value at a bound, no engine that always fails, calm host.",
            )
        ]
    return sorted(found, key=lambda card: order[card.level])


def _failing(frame: pd.DataFrame) -> Iterator[Card]:
    ended = frame[frame["state"].isin(["complete", "failed", "pruned"])]
    for engine, rows in ended.groupby("engine"):
        failed = rows[rows["state"] != "complete"]
        if len(failed) == len(rows) and len(rows) >= _MANY:
            reason = str(failed["reason"].iloc[-1] or "no reason was given").splitlines()[0][:200]
            text = f"All {len(rows)} trials on it failed, the last with: {reason}. Take it out of axes.backend.engines."
            yield Card("problem", f"{engine} always fails", text)
    share = (ended["state"] != "complete").mean() if len(ended) >= 2 * _MANY else 0.0
    if share > 0.5:
        yield Card(
            "warning",
            "Most trials fail",
            f"{share:.0%} of {len(ended)} ended trials failed; see the table's reasons.",
        )
    lost = frame[frame["kind"] == "lost"]
    if len(lost):
        yield Card(
            "warning",
            "Workers were lost",
            f"{len(lost)} trials failed because their workers vanished; look at the hosts.",
        )


def _constraints(frame: pd.DataFrame, spec: Mapping[str, Any]) -> Iterator[Card]:
    measured = frame[(frame["state"] == "complete") & ~frame["discarded"]]
    if len(measured) < _MANY:
        return
    for text in spec["constraints"]:
        c = parse_constraint(text)
        values = measured[c.metric].dropna()
        met = values <= c.bound if c.op in ("<", "<=") else values >= c.bound
        if len(values) == 0:
            yield Card("problem", f"Nobody meets {text}", f"{c.metric} was not measured in any trial.")
        elif not met.any():
            nearest = values.min() if c.op in ("<", "<=") else values.max()
            text_ = f"The nearest of {len(values)} measured trials reaches {nearest:.4g}. Loosen it, or widen the axes."
            yield Card("problem", f"Nobody meets {text}", text_)
        elif met.mean() < 0.1 and len(values) >= 10:
            share = f"Only {met.sum()} of {len(values)} measured trials meet it: most of the budget goes elsewhere."
            yield Card("note", f"Few meet {text}", share)


#: Field, its place in the study file, and whether its lower or upper end is the costly direction to extend.
_ENDS = (
    ("student_layers", ("distillation", "student_layers")),
    ("heads", ("pruning", "heads")),
    ("ffn", ("pruning", "ffn")),
)


def _bounds(frame: pd.DataFrame, spec: Mapping[str, Any]) -> Iterator[Card]:
    """Say where all points of the front have the extreme value of an axis: beyond it may be better ones."""
    front = frame[frame["on_front"] & ~frame["is_baseline"]]
    if len(front) < 2:
        return
    for name, (part, key) in _ENDS:
        allowed = spec["axes"][part][key] or sorted(frame[name].dropna().unique())
        if len(allowed) < 2:
            continue
        end = min(allowed) if name == "student_layers" else max(allowed)
        if (front[name] == end).all() and not (name == "student_layers" and end == 1):
            most = "least" if name == "student_layers" else "most"
            text = f"All {len(front)} points of the front have {key} {plain(float(end))}, the {most} that "
            text += f"axes.{part}.{key} allows. Widen it."
            yield Card("warning", f"The best points sit at the end of {key}", text)


def _noise(frame: pd.DataFrame, spec: Mapping[str, Any]) -> Iterator[Card]:
    measured = frame[(frame["state"] == "complete") & frame["latency_ms"].notna()]
    wanted = float(spec["measure"]["precision"])
    for host, rows in measured.groupby("host_name"):
        half = (rows["latency_ms_high"] - rows["latency_ms_low"]) / 2 / rows["latency_ms"]
        if len(rows) >= _MANY and half.median() > max(_NOISY, 2 * wanted):
            text = f"Half of the latencies are known no better than ±{half.median():.0%}. "
            text += "Give measure.seconds more time, or a calmer machine."
            yield Card("warning", f"{host} is noisy", text)
        elif len(rows) >= _MANY and half.median() > 2 * wanted:
            text = f"Latencies are known to ±{half.median():.1%} in the median; ±{wanted:.0%} was asked for. "
            text += "More measure.seconds helps."
            yield Card("note", f"Measurements on {host} ended early", text)
