"""The tabs of a study beside its front: how it grew, what mattered, all trials, the clock, health, log."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.components.offers import pick
from dashboard.components.picking import picking_table
from dashboard.text import safe
from dashboard.views.front_chart import PICK
from dashboard.views.history_chart import OVER, best_chart, growth_alt, volume_chart
from dashboard.views.importance_chart import importance_alt, importance_chart
from dashboard.views.numbers import SHOWN, plural
from dashboard.views.parallel_chart import MOST, chosen_rows, parallel_chart, parallel_data
from dashboard.views.stage_bars import stage_bars
from dashboard.views.tables import LOGGED, log_table, trials_table
from dashboard.views.timeline_chart import (
    LASTS,
    stage_chart,
    stage_data,
    timeline_alt,
    timeline_chart,
    timeline_data,
)
from tuner.service.desk import StudyInfo
from tuner.service.health import health
from tuner.service.importance import importance


def growth_tab(info: StudyInfo, frame: pd.DataFrame, picked: int | None) -> None:
    """Draw hypervolume and best so far."""
    grown = data.study_history(info, frame)
    if grown.empty:
        st.caption("Nothing ended yet.")
        return
    over = st.segmented_control(
        "Over", list(OVER), default="Trials", required=True, key="over", bind="query-params"
    )
    palette = data.palette()
    st.altair_chart(
        volume_chart(grown, over, palette, picked), key="volume", alt=growth_alt(grown, info.objectives)
    )
    for column, name in zip(st.columns(len(info.objectives)), info.objectives, strict=True):
        label = f"Best {SHOWN[name].label.lower()} so far of a feasible trial"
        column.altair_chart(best_chart(grown, name, over, palette, picked), key=f"best_{name}", alt=label)


def importance_tab(info: StudyInfo, frame: pd.DataFrame) -> None:
    """Draw what decides about a metric."""
    known = [name for name in SHOWN if frame[name].notna().any()]
    first = [n for n in ("latency_ms", info.metric) if n in known]
    if not known:
        st.caption("Nothing was measured yet.")
        return
    metric = st.selectbox(
        "Decides about",
        [*first, *(n for n in known if n not in first)],
        format_func=lambda n: SHOWN[n].label,
        key="about",
        bind="query-params",
        width=260,
    )
    found = importance(frame, metric)
    if found.empty:
        st.caption("At least 8 measured trials that differ are needed to tell what matters.")
        return
    st.altair_chart(
        importance_chart(found, data.palette()),
        key="importance",
        alt=importance_alt(found, SHOWN[metric].label),
    )
    st.caption(
        "How differently the best fifth of the trials is spread over each field's values than all trials are "
        "(PED-ANOVA). It says what mattered in this search, not why."
    )


def parallel_tab(info: StudyInfo, frame: pd.DataFrame, picked: int | None) -> None:
    """Draw parallel coordinates."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        share = st.select_slider(
            "Best by front rank",
            ["5 %", "10 %", "25 %", "50 %", "100 %"],
            value="100 %",
            key="top",
            bind="query-params",
            width=260,
        )
        log = st.toggle("Log axes", value=True, key="plog", bind="query-params")
        others = st.toggle("Infeasible too", key="pall", bind="query-params")
    rows = chosen_rows(frame, float(share.split()[0]) / 100, picked, others)
    metrics = dict.fromkeys([*info.objectives, "memory_mb", "size_mb"])
    points = parallel_data(rows, list(metrics), log, picked) if len(rows) else pd.DataFrame()
    if points.empty:
        st.caption("Nothing was measured yet.")
        return
    chart = parallel_chart(points, data.palette(), PICK)
    told = f"Fields and numbers of {len(rows)} candidates as lines"
    st.altair_chart(
        chart, key="parallel", on_select=lambda: _from_chart("parallel"), selection_mode=PICK, alt=told
    )
    if len(rows) >= MOST:
        st.caption(f"The best {MOST} are drawn.")


def _from_chart(key: str) -> None:
    event: Any = st.session_state.get(key) or {}
    chosen = event.get("selection", {}).get(PICK) or []
    if chosen and chosen[0].get("trial") is not None:
        pick(int(chosen[0]["trial"]))


def table_tab(info: StudyInfo, frame: pd.DataFrame, picked: int | None) -> None:
    """Draw all trials; a click on a row picks its trial."""
    table = trials_table(frame, info.metric)
    told = f"{len(table)} trials with their numbers; the front first"
    picking_table(table, list(table["Trial"]), "table", picked, told, 520, _columns(table))
    st.caption(
        "Sort by a heading; the menu at the upper right hides columns, searches and downloads. "
        "A selected row is the picked trial."
    )


def _columns(table: pd.DataFrame) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "Trial": st.column_config.NumberColumn(pinned=True, width=60),
        "State": st.column_config.TextColumn(pinned=True, width=90),
        "Reason": st.column_config.TextColumn(width="large"),
    }
    for shown in SHOWN.values():
        digits = "%.1f" if shown.unit in ("%", "pt") else "%.3g"
        plain[shown.title] = st.column_config.NumberColumn(format=digits)
    for name in ("Heads removed (%)", "FFN removed (%)"):
        plain[name] = st.column_config.NumberColumn(format="%.0f")
    plain["Seconds"] = st.column_config.NumberColumn("Took (s)", format="%.1f")
    empty = [name for name in table if table[name].isna().all()]
    return {**plain, **dict.fromkeys(empty, None)}


def timeline_tab(info: StudyInfo, frame: pd.DataFrame, picked: int | None) -> None:
    """Draw trials and their stages on the clock, and the stages' sums."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        last = st.select_slider(
            "The last trials", LASTS, value=100, key="last", bind="query-params", width=260
        )
        inside = st.toggle("Stages inside", value=True, key="inside", bind="query-params")
    bars = timeline_data(frame, data.now(), data.zone(), last)
    if bars.empty:
        st.caption("Nothing was started yet.")
        return
    stages = stage_bars(bars, data.desk().stages(list(bars["id"]))) if inside else bars.iloc[:0]
    st.altair_chart(
        timeline_chart(bars, stages, data.palette(), picked, PICK),
        key="timeline",
        on_select=lambda: _from_chart("timeline"),
        selection_mode=PICK,
        alt=timeline_alt(bars, stages),
    )
    if len(stages):
        st.caption(
            "Stages stand in their order from the trial's start; what lay between them, such as waiting for a quiet "
            "machine, is at its end. A small triangle: the cache had it. A trial at work is drawn up to now."
        )
    costs = stage_data(data.desk().stage_costs(info))
    if len(costs):
        st.markdown("**What the stages took together**")
        st.altair_chart(
            stage_chart(costs, data.palette()), key="stages", alt=f"Stage {costs['stage'].iloc[0]} took most"
        )


def health_tab(info: StudyInfo, frame: pd.DataFrame, everything: pd.DataFrame) -> None:
    """Draw the findings as cards, on the trials that pass the filter."""
    if len(frame) < len(everything):
        st.caption(f"Of the {plural(len(frame), 'trial')} that pass the filter.")
    cards = health(frame, info.spec)
    if not cards:
        st.caption("Too little was measured to say anything.")
        return
    looks = {"problem": st.error, "warning": st.warning, "note": st.info, "good": st.success}
    icons = {
        "problem": ":material/error:",
        "warning": ":material/warning:",
        "note": ":material/info:",
        "good": ":material/check_circle:",
    }
    for left in range(0, len(cards), 2):
        for column, card in zip(st.columns(2), cards[left : left + 2], strict=False):
            with column:
                looks[card.level](safe(card.text, 500), title=safe(card.title), icon=icons[card.level])


def log_tab(info: StudyInfo, frame: pd.DataFrame, picked: int | None) -> None:
    """Draw the last events, and failures with their reasons; a click on a row picks its trial."""
    events = data.desk().events(info, LOGGED)
    table = log_table(frame, events, info.created, data.zone(), data.now())
    if table.empty:
        st.caption("Nothing happened that a person would want to read.")
        return
    columns = {
        "When": st.column_config.TextColumn(width=150),
        "Trial": st.column_config.NumberColumn(width=60),
        "What": st.column_config.TextColumn(width=140),
    }
    trials = [None if pd.isna(n) else int(n) for n in table["Trial"]]
    told = f"The last {plural(len(table), 'event')}, the newest first"
    picking_table(table, trials, "log_table", picked, told, 480, columns)
