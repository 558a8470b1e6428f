"""States: what a study's page says of the whole study before any chart, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from dashboard.text import cut
from dashboard.views.numbers import SHOWN, metric_text, plural
from tuner.spec.constraint import parse_constraint

Kind = Literal["waiting", "preparing", "first", "failed", "all-failed", "infeasible", "ok"]

#: State of a study: its word, Streamlit's badge colour, its icon.
BADGES: Mapping[str, tuple[str, str, str]] = {
    "queued": ("queued", "gray", ":material/schedule:"),
    "running": ("running", "blue", ":material/play_circle:"),
    "paused": ("paused", "orange", ":material/pause_circle:"),
    "stopping": ("stopping", "orange", ":material/hourglass_bottom:"),
    "confirming": ("confirming the front", "violet", ":material/fact_check:"),
    "finished": ("finished", "green", ":material/check_circle:"),
    "interrupted": ("stopped", "gray", ":material/stop_circle:"),
    "cancelled": ("cancelled", "gray", ":material/cancel:"),
    "failed": ("failed", "red", ":material/error:"),
}


@dataclass(frozen=True)
class Notice:
    """What is to be said: its kind, a headline, a sentence, and how loud."""

    kind: Kind
    title: str = ""
    text: str = ""
    level: Literal["info", "warning", "error"] = "info"


def notice(
    state: str, frame: pd.DataFrame, spec: Mapping[str, Any], meta: Mapping[str, Any], workers: int
) -> Notice:
    """Return what a person should know of the study as a whole; kind `ok` where its charts say enough."""
    measured = int((frame["state"] == "complete").sum())
    ended = int(frame["state"].isin(["complete", "failed", "pruned"]).sum())
    if state == "failed":
        return Notice("failed", "The study failed", str(meta.get("error") or "Its log says why."), "error")
    if measured:
        return _measured(frame, spec, measured, ended, state)
    if ended:
        reason = frame["reason"].dropna()
        last = cut(reason.iloc[-1].splitlines()[0], 300) if len(reason) else "no reason was given"
        return Notice("all-failed", f"All {plural(ended, 'trial')} failed", f"The last one: {last}", "error")
    if state == "queued" and not workers:
        return Notice(
            "waiting",
            "Waiting for a worker",
            "Nobody works on studies at the moment: start a worker on the System page.",
            "warning",
        )
    if state == "queued":
        return Notice(
            "waiting", "Waiting its turn", "A worker prepares data and model, then the first trial begins."
        )
    if (frame["state"] == "running").any():
        return Notice(
            "preparing",
            "The first trial is running",
            "It is the untouched model: all others are held against it.",
        )
    if state in ("paused", "interrupted", "cancelled"):
        return Notice("waiting", "Nothing was measured yet", "Resume the study to begin.")
    return Notice("preparing", "Preparing", "Data and model are made ready; the first trial follows.")


def _measured(frame: pd.DataFrame, spec: Mapping[str, Any], measured: int, ended: int, state: str) -> Notice:
    if not frame["feasible"].any():
        asked = " and ".join(spec["constraints"])
        near = nearest(frame, spec)
        return Notice(
            "infeasible",
            "No trial meets the constraints yet",
            f"None of {plural(measured, 'measured trial')} meets {asked}.{near}",
            "warning",
        )
    if measured == 1:
        return Notice("first", "One point so far", "The front takes shape with the next trials.")
    return Notice("ok")


def nearest(frame: pd.DataFrame, spec: Mapping[str, Any]) -> str:
    """Return which trial misses its worst constraint by the least, as a sentence."""
    worst = pd.Series(float("-inf"), index=frame.index)
    metric = pd.Series("", index=frame.index)
    for c in map(parse_constraint, spec["constraints"]):
        sign = 1 if c.op in ("<", "<=") else -1
        missed = (frame[c.metric] - c.bound) * sign / (abs(c.bound) or 1.0)
        metric = metric.where(worst >= missed, c.metric)
        worst = worst.where(worst >= missed, missed)
    known = worst[(frame["state"] == "complete") & worst.notna() & (worst > float("-inf"))]
    if known.empty:
        return ""
    row = frame.loc[known.idxmin()]
    name = metric.loc[known.idxmin()]
    return f" The nearest is trial {row['number']} with {SHOWN[name].label.lower()} {metric_text(name, row[name])}."
