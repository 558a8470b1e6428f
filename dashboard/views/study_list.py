"""The list of studies as a table: where each stands, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any
from urllib.parse import quote

import pandas as pd

from dashboard.text import cut
from dashboard.views.cards import best_text
from dashboard.views.numbers import NONE, moment_text, span_text
from dashboard.views.states import BADGES
from tuner.service.desk import StudyInfo
from tuner.service.lines import Overview, StudyLine

MOVING = ("queued", "running", "stopping", "confirming")


def study_table(infos: Sequence[StudyInfo], overview: Overview, zone: tzinfo, now: datetime) -> pd.DataFrame:
    """Return one row a study, the newest first: an order that does not change while they run."""
    lines = {line.name: line for line in overview.studies}
    beats = heartbeats(overview)
    order = sorted((i for i in infos if i.name in lines), key=lambda i: i.created, reverse=True)
    rows = [_row(info, lines[info.name], beats.get(info.name), zone, now) for info in order]
    return pd.DataFrame(rows, columns=list(COLUMNS))


COLUMNS = (
    "Study",
    "State",
    "Best against the baseline",
    "Done",
    "Candidates",
    "Time left",
    "Heartbeat",
    "Hypervolume",
    "Growth",
    "Model",
    "Host",
    "Task",
    "Tags",
    "Last change",
    "name",
    "state",
)


def heartbeats(overview: Overview) -> dict[str, float]:
    """Return for each study how many seconds ago somebody who works on it was last heard of."""
    found: dict[str, float] = {}
    for worker in overview.workers:
        if worker.state != "gone":
            for study in (*worker.coordinates, *(study for study, _ in worker.trials)):
                found[study] = min(found.get(study, float("inf")), worker.silent_s)
    return found


def _row(info: StudyInfo, line: StudyLine, beat: float | None, zone: tzinfo, now: datetime) -> dict[str, Any]:
    share = min(line.done / line.total, 1.0) if line.total else None
    history = [v * 100 for v in info.summary.get("history", []) if v is not None]
    waits = NONE if line.state not in MOVING else "nobody"
    return {
        "Study": f"/study?study={quote(info.name)}",
        "State": BADGES.get(line.state, (line.state, "", ""))[0],
        "Best against the baseline": best_text(line.best_speedup, line.loss, line.metric),
        "Done": None if share is None else share * 100,
        "Candidates": f"{line.done}"
        + (f" of {line.total}" if line.total else "")
        + (f", {line.failed} failed" if line.failed else ""),
        "Time left": span_text(line.seconds_left) if line.state in MOVING else NONE,
        "Hypervolume": None if line.hypervolume is None else line.hypervolume * 100,
        "Growth": history if len(history) > 1 else [],
        "Model": cut(model_text(info.spec), 60),
        "Task": str(info.spec.get("task", "")).replace("-", " "),
        "Host": cut(line.host or NONE, 40),
        "Heartbeat": waits if beat is None else f"{span_text(beat)} ago",
        "Tags": [cut(tag, 30) for tag in line.tags],
        "Last change": moment_text(line.updated, zone, now),
        "name": info.name,
        "state": line.state,
    }


def model_text(spec: Mapping[str, Any]) -> str:
    """Return a model in a few words: its source's last parts, or what kind it is trained from."""
    model = spec["model"]
    if model.get("source"):
        return "/".join(str(model["source"]).removeprefix("pkg://").rstrip("/").split("/")[-2:])
    config = model.get("config") or {}
    return f"{config.get('model_type', 'new')}, {config.get('num_hidden_layers', '?')} layers, from scratch"


def filtered(table: pd.DataFrame, text: str, states: Sequence[str], tags: Sequence[str]) -> pd.DataFrame:
    """Return the studies whose name or model holds the text, in one of these states, with all of these tags."""
    kept = pd.Series(True, index=table.index)
    if text:
        wanted = text.casefold()
        kept &= (table["name"] + " " + table["Model"]).map(lambda found: wanted in found.casefold())
    if states:
        kept &= table["State"].isin(states)
    for tag in tags:
        kept &= table["Tags"].map(lambda found, tag=tag: tag in found)
    return table[kept].reset_index(drop=True)
