"""Stages inside the bars of the timeline: where each trial's time went, what came from the cache, what runs now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from dashboard.text import cut
from dashboard.views.numbers import span_text

#: Time of a trial that no stage took: waiting for the machine, starting children.
OTHER = "between stages"
_COLUMNS = ("trial", "worker", "stage", "start", "end", "hit", "took", "label")
_LEAST = 0.3  # seconds between stages that are worth a bar


def stage_bars(bars: pd.DataFrame, stages: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each stage of the trials in `bars` (see `timeline_data`), laid end to end from its start.

    The store has what a stage took, not when it began: what a trial spent between stages is shown at its end.
    """
    of = dict(iter(stages.groupby("id", sort=False))) if len(stages) else {}
    rows = [row for bar in bars.itertuples() if bar.id in of for row in _inside(bar, of[bar.id])]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _inside(bar: Any, stages: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    at, running = bar.start, bar.state == "running"
    last = len(stages) - 1
    for i, stage in enumerate(stages.itertuples()):
        unfinished = running and i == last
        end = bar.end if unfinished else min(at + pd.Timedelta(seconds=stage.seconds), bar.end)
        took = "found in the cache" if stage.hit else span_text((end - at).total_seconds())
        told = f"{took} so far" if unfinished else took
        yield bar.trial, bar.worker, cut(stage.stage, 40), at, end, bool(stage.hit), told, bar.label
        at = end
    rest = (bar.end - at).total_seconds()
    if rest > _LEAST and not running:
        yield bar.trial, bar.worker, OTHER, at, bar.end, False, span_text(rest), bar.label


def stage_names(rows: pd.DataFrame) -> list[str]:
    """Return the stages in the order trials go through them, the time between them last."""
    known = [name for name in _ORDER if name in set(rows["stage"])]
    more = sorted(set(rows["stage"]) - set(known) - {OTHER})
    return [*known, *more, *([OTHER] if OTHER in set(rows["stage"]) else [])]


_ORDER = ("importance", "shape", "teacher-outputs", "recover", "build", "draft", "performance", "quality")
