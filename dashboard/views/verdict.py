"""Verdicts: one word for each trial, what a person wants to know of it first; the same in charts, tables and panels."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tuner.search.standing import Standing
from tuner.service.desk import StudyInfo
from tuner.service.placing import rivals

#: What each word means; trials that were not measured have their state for one.
MEANINGS = {
    "front": "on the front",
    "tied": "tied with the front: dominated by less than the noise",
    "dominated": "dominated",
    "unplaced": "not measured in every objective",
    "infeasible": "misses a constraint",
    "discarded": "discarded",
    "pruned": "given up early",
}


def verdicts(frame: pd.DataFrame) -> np.ndarray:
    """Return the word of each trial: one of `MEANINGS`, or its state."""
    words = np.where(frame["feasible"], "unplaced", "infeasible").astype(object)
    words = np.where(frame["standing"].notna(), frame["standing"], words)
    words = np.where(frame["discarded"], "discarded", words)
    return np.where(frame["state"] == "complete", words, frame["state"])


def verdict_text(info: StudyInfo, frame: pd.DataFrame, number: int) -> str:
    """Return a trial's verdict as a sentence: with who may beat it, and on which data that was measured."""
    row = frame.loc[frame["number"] == number]
    word, confirmed = str(verdicts(row)[0]), bool(row["confirmed"].iloc[0])
    if row["state"].iloc[0] != "complete" or word == "discarded":
        return word.capitalize()
    text = MEANINGS[word]
    if word in ("front", "tied"):
        apart = info.spec.get("hosts") != "choice"
        text = Standing(word, tuple(rivals(frame, info.objectives, apart, number))).text()  # type: ignore[arg-type]
    seen = "confirmed on test data" if confirmed else "as the search saw it"
    return f"{text[0].upper()}{text[1:]}{';' if ',' in text else ','} {seen}"
