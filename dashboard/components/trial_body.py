"""One trial: what it is, how it was measured, what it mistakes, where its time went, how to do it again."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.text import block, safe
from dashboard.views.cards import baseline_of, candidate_text, figure, figure_names, row_of
from dashboard.views.numbers import bytes_text, interval_text, metric_text, moment_text, plural, span_text
from dashboard.views.trial_charts import (
    changes_table,
    confusion_chart,
    drift_chart,
    percentiles,
    spread_chart,
    stages_of,
)
from dashboard.views.verdict import verdict_text
from tuner.service.desk import StudyInfo
from tuner.service.detail import Detail, Samples
from tuner.spec.wording import loaded


def trial_head(info: StudyInfo, frame: pd.DataFrame, number: int) -> None:
    """Draw the candidate, the verdict and the numbers."""
    row, base = row_of(frame, number), baseline_of(frame)
    st.markdown(safe(candidate_text(row), 300))
    st.markdown(f"**{safe(verdict_text(info, frame, number), 300)}**")
    if row["discarded"]:
        st.warning(
            safe(row["discard_reason"], 600), title="Discarded: it is on record only", icon=":material/block:"
        )
    if row["reason"]:
        st.error(
            safe(row["reason"], 1500),
            title=f"{safe(row['state'])}: {safe(row['kind'] or 'no kind given')}".capitalize(),
            icon=":material/error:",
        )
    figures = [figure(name, row, base) for name in figure_names(info.metric, loaded(info.spec["scenario"]))]
    known = [f for f in figures if f.value != "–"]
    if known:
        with st.container(horizontal=True, gap="medium"):
            for f in known:
                colour = "off" if f.better is None else "green" if f.better else "red"
                st.metric(
                    f.label,
                    f.value,
                    f.change or None,
                    delta_color=colour,
                    delta_arrow="off",
                    delta_description=f.interval or ("" if f.change else "exact") or None,
                    width="content",
                    height="stretch",
                    border=True,
                )  # type: ignore[arg-type]
        split = (
            "on the test split, all finalists interleaved"
            if row["confirmed"]
            else "on the validation split, as the search saw it"
        )
        st.caption(f"Measured {split}. Small print: change against the baseline, and the 95 % interval.")


def trial_measured(found: Detail, row: pd.Series) -> None:
    """Draw latency and quality."""
    for title, samples in (
        ("Latency in the confirmation", found.confirmed),
        ("Latency in the search", found.search),
    ):
        if samples is not None:
            _latency(title, samples, row)
            break
    left, right = st.columns(2, gap="large")
    matrix, split = (
        (found.confirmed_confusion, "test") if found.confirmed_confusion else (found.confusion, "validation")
    )
    with left:
        if matrix:
            st.markdown(f"**Answers on the {split} split**")
            right_ones, total = sum(matrix[i][i] for i in range(len(matrix))), sum(map(sum, matrix))
            told = f"{right_ones} of {total} documents answered right"
            st.altair_chart(confusion_chart(matrix, found.labels, data.palette()), key="confusion", alt=told)
            st.caption(told)
    with right:
        _changes(found)


def _latency(title: str, samples: Samples, row: pd.Series) -> None:
    st.markdown(f"**{title}**")
    left, right = st.columns(2, gap="large")
    marks = percentiles(samples.own)
    told = "latency: " + ", ".join(
        f"{name} {metric_text('latency_ms', value)}" for name, value in marks.items()
    )
    with left:
        st.altair_chart(spread_chart(samples.own, samples.reference, data.palette()), key="spread", alt=told)
        st.caption(safe(told.capitalize()) + f" · {plural(len(samples.own), 'call')}, raw")
        spread = interval_text("latency_ms", row["latency_ms_low"], row["latency_ms"], row["latency_ms_high"])
        if spread:
            corrected = metric_text("latency_ms", row["latency_ms"])
            st.caption(
                f"Against the reference beside it, on the study's clock: {corrected}, 95 % interval {spread}"
            )
    with right:
        st.altair_chart(
            drift_chart(samples.own, samples.reference, data.palette()),
            key="drift",
            alt="Both, each against its own median, in the order taken",
        )
        st.caption(_quiet(samples))


def _quiet(samples: Samples) -> str:
    parts = ["What both do together is the machine, and cancels in their ratio"]
    if samples.summary.get("drift") is not None:
        parts.append(f"the reference drifted by {float(samples.summary['drift']):.0%}")
    if samples.summary.get("pairs") is not None:
        parts.append(
            f"{samples.summary['pairs']} pairs, {samples.summary.get('disturbed', 0)} set aside as disturbed"
        )
    return safe(" · ".join(parts), 300)


def _changes(found: Detail) -> None:
    st.markdown("**What differs from the baseline**")
    if found.changes:
        st.dataframe(
            changes_table(found.changes),
            hide_index=True,
            alt="Fields that differ from the baseline",
            height="content",
        )
    else:
        st.caption("Nothing: this is the baseline.")


def trial_made(found: Detail, row: pd.Series) -> None:
    """Draw stages, artefact, log and command."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Stages**")
        stages = [(s.name, s.hit, s.seconds) for s in found.trial.stages]
        if stages:
            config = {"Took (s)": st.column_config.NumberColumn(format="%.2f")}
            st.dataframe(
                stages_of(stages),
                hide_index=True,
                column_config=config,
                alt="Stages with what they took",
                height="content",
            )
            st.caption(f"{span_text(sum(s for _, _, s in stages))} together")
        else:
            st.caption("None came to its end.")
    with right:
        st.markdown("**Artefact**")
        _artefact(found, row)
    st.markdown("**The command that measures this candidate again**")
    st.code(found.command, language="bash", wrap_lines=False)
    st.markdown("**Last lines of its log**")
    if found.trial.log_tail:
        st.code(block(found.trial.log_tail), language=None, wrap_lines=True, height=240)
    else:
        st.caption("It wrote none.")


def _artefact(found: Detail, row: pd.Series) -> None:
    zone, now = data.zone(), data.now()
    lines = {
        "Candidate's hash": found.trial.hash,
        "Host": row["host_name"] or "unknown",
        "Worker": row["worker"] or "–",
    }
    if found.artefact is not None:
        lines |= {
            "Kind": found.artefact.kind,
            "Key": found.artefact.key,
            "SHA-256": found.artefact.sha256,
            "Size": bytes_text(found.artefact.size_bytes),
            "Built": moment_text(found.artefact.created_at, zone, now),
        }
    lines |= {
        "Attempt": str(found.trial.attempt),
        "Started": moment_text(found.trial.started_at, zone, now),
        "Ended": moment_text(found.trial.finished_at, zone, now),
    }
    table = pd.DataFrame({"": list(lines), " ": [str(v)[:80] for v in lines.values()]})
    st.dataframe(table, hide_index=True, alt="Artefact and provenance", height="content")
