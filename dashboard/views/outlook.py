"""What to expect of a study before it runs, in words and as a table."""

from __future__ import annotations

import pandas as pd

from dashboard.views.numbers import plural, span_text
from tuner.service.outlook import Outlook


def time_text(expected: Outlook) -> str:
    """Return the estimated time as a range, or what is known instead."""
    if expected.open_ended:
        return "until little more is expected"
    if expected.seconds is None:
        return "unknown yet"
    low, high = (span_text(seconds) for seconds in expected.seconds)
    if expected.estimate is None:
        return f"at most {high}"
    return f"about {high}" if low == high else f"{low} to {high}"


def basis_text(expected: Outlook) -> str:
    """Return what the estimated time stands on, in sentences."""
    found = expected.estimate
    if expected.open_ended:
        return (
            "The search ends by itself, where the next minutes promise too little of the front's hypervolume."
        )
    if found is None:
        cap = " The budget's minutes end it." if expected.seconds else ""
        return (
            "Nothing comparable was measured on this database yet: the first study makes estimates possible."
            + cap
        )
    runs = sum(stage.known for stage in found.stages)
    whose = "this model" if found.same_model else "this and other models, which may be slower or faster"
    parts = [
        f"From {plural(runs, 'stage run')} of earlier trials of {whose}, quartile to quartile, by one worker."
    ]
    if found.unknown:
        parts.append(f"Not in it, for nobody knows its cost yet: {', '.join(found.unknown)}.")
    if expected.capped:
        parts.append("The budget's minutes may end it before all candidates were tried.")
    parts.append("Preparing model and data before it and confirming the front after it come on top.")
    return " ".join(parts)


def stages_table(expected: Outlook) -> pd.DataFrame:
    """Return a row for each stage: how often it will run, what a run takes, and whose runs say so."""
    stages = expected.estimate.stages if expected.estimate else ()
    rows = [
        {
            "Stage": stage.name,
            "Runs": stage.runs,
            "From the cache": stage.hits,
            "A run takes": _range(stage.low, stage.high) if stage.known else "unknown",
            "Together": _range(stage.low * stage.runs, stage.high * stage.runs) if stage.known else "unknown",
            "Known from": stage.basis,
        }
        for stage in stages
    ]
    return pd.DataFrame(rows)


def _range(low: float, high: float) -> str:
    first, last = span_text(low), span_text(high)
    return first if first == last else f"{first} to {last}"
