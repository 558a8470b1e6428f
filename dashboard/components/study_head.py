"""The head of a study: its state, how far it is, who works on it; and what is to be said of it as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.components.filters import filter_bar
from dashboard.components.workers import no_worker_note
from dashboard.text import safe
from dashboard.views.numbers import ago_text, moment_text, plural, span_text
from dashboard.views.states import BADGES, Notice, notice
from tuner.service.desk import Standing, StudyInfo
from tuner.service.overview import state_of
from tuner.store.records import Worker


def state_badge(state: str) -> None:
    """Draw a study's state."""
    word, colour, icon = BADGES.get(state, (state, "gray", ":material/help:"))
    with st.container(key="study_state", width="content"):
        st.badge(word, color=colour, icon=icon)  # type: ignore[arg-type]


def study_head(info: StudyInfo, frame: pd.DataFrame) -> tuple[Notice, pd.DataFrame]:
    """Draw progress, heartbeat and filter; return what was said of the study, and the trials that pass the filter.

    Each part has a place of its own, empty or not: a refresh then replaces it where it stands, and nothing jumps.
    """
    standing = Standing.of(info, frame)
    workers = [w for w in data.desk().workers() if state_of(w) == "alive"]
    progress, line, said = st.container(), st.container(), st.container()
    with progress:
        if info.moving and standing.total:
            st.progress(min(standing.done / standing.total, 1.0), text=_progress(standing))
    with line.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(" · ".join(_facts(info, frame, standing, workers)), width="content")
        kept = frame if frame.empty else filter_bar(frame)
    found = notice(info.state, frame, info.spec, info.meta, len(workers))
    with said:
        if found.kind == "waiting" and info.state == "queued" and not workers:
            no_worker_note(data.desk().overview())
        else:
            _say(found)
    return found, kept


def _facts(info: StudyInfo, frame: pd.DataFrame, standing: Standing, workers: Sequence[Worker]) -> list[str]:
    total = f" of {standing.total:,}".replace(",", "\u202f") if standing.total else ""
    # While it runs, the bar above says how many are done.
    parts = [] if info.moving and total else [f"{plural(standing.done, 'candidate')}{total} done"]
    if standing.failed:
        parts.append(f"{standing.failed} failed")
    parts.append(f"{span_text(standing.spent_s)} spent")
    if info.host:
        parts.append(f"on {safe(info.host, 60)}")
    busy = set(frame.loc[frame["state"] == "running", "worker"].dropna()) | {info.coordinator}
    mine = [w for w in workers if w.name in busy]
    if mine:
        beat = min(w.silent_s for w in mine)
        names = ", ".join(safe(w.name, 40) for w in mine[:3])
        parts.append(f"worker {names} " + (f"heard {span_text(beat)} ago" if beat > 12 else "alive"))
    elif info.state in ("running", "queued", "confirming"):
        parts.append(":orange[no worker is on it]")
    now = data.now()
    changed = ago_text(info.updated, now) if info.moving else moment_text(info.updated, data.zone(), now)
    return [*parts, f"last change {changed}"]


def _progress(standing: Standing) -> str:
    text = f"{standing.done} of {plural(standing.total or 0, 'candidate')}"
    if standing.running:
        text += f", {standing.running} running"
    return text + (f", about {span_text(standing.left_s)} left" if standing.left_s else "")


def _say(found: Notice) -> None:
    if found.kind == "ok":
        return
    say = {"info": st.info, "warning": st.warning, "error": st.error}[found.level]
    icons = {"info": ":material/info:", "warning": ":material/warning:", "error": ":material/error:"}
    say(safe(found.text, 600), title=found.title, icon=icons[found.level])
