"""The head of a study: its state, how far it is, who works on it; and what is to be said of it as a whole."""

from __future__ import annotations

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


def state_badge(state: str) -> None:
    """Draw a study's state."""
    word, colour, icon = BADGES.get(state, (state, "gray", ":material/help:"))
    st.badge(word, color=colour, icon=icon)  # type: ignore[arg-type]


def study_head(info: StudyInfo, frame: pd.DataFrame) -> tuple[Notice, pd.DataFrame]:
    """Draw progress, heartbeat and filter; return what was said of the study, and the trials that pass the filter."""
    standing = Standing.of(info, frame)
    workers = [w for w in data.desk().workers() if state_of(w) == "alive"]
    busy = set(frame.loc[frame["state"] == "running", "worker"].dropna()) | ({info.coordinator} - {None})
    mine = [w for w in workers if w.name in busy]
    now, zone = data.now(), data.zone()
    if info.moving and standing.total:
        share = min(standing.done / standing.total, 1.0)
        st.progress(share, text=_progress(standing))
    parts = [
        f"{plural(standing.done, 'candidate')}"
        + (f" of {standing.total:,}".replace(",", "\u202f") if standing.total else "")
        + " done"
    ]
    if standing.failed:
        parts.append(f"{standing.failed} failed")
    parts.append(f"{span_text(standing.spent_s)} spent")
    if info.host:
        parts.append(f"on {safe(info.host, 60)}")
    if mine:
        beat = min(w.silent_s for w in mine)
        names = ", ".join(safe(w.name, 40) for w in mine[:3])
        parts.append(f"worker {names} heard {span_text(beat)} ago" if beat > 5 else f"worker {names} alive")
    elif info.state in ("running", "queued", "confirming"):
        parts.append(":orange[no worker is on it]")
    parts.append(
        f"last change {ago_text(info.updated, now) if info.moving else moment_text(info.updated, zone, now)}"
    )
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(" · ".join(parts), width="content")
        kept = frame if frame.empty else filter_bar(frame)
    found = notice(info.state, frame, info.spec, info.meta, len(workers))
    if found.kind == "waiting" and info.state == "queued" and not workers:
        no_worker_note(data.desk().overview())
    else:
        _say(found)
    return found, kept


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
