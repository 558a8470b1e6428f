"""Export: one point as a bundle that answers without the tuner, as YAML, as a command, and as a report."""

from __future__ import annotations

import shlex

import streamlit as st

from dashboard import data
from dashboard.components.study_choice import study_choice
from dashboard.components.trial_body import trial_head
from dashboard.components.trial_choice import trial_choice
from dashboard.downloads import bundle_path
from dashboard.views.numbers import bytes_text
from tuner.service.bundling import candidate_yaml
from tuner.service.detail import detail
from tuner.service.exporting import kind_of_task
from tuner.service.handle import StudyHandle
from tuner.service.report import report_html

with st.container(horizontal=True, vertical_alignment="center", gap="small"):
    name = study_choice()
    number = trial_choice(name, complete=True)
if name is not None and number is not None:
    info, frame = data.study(name)
    store = data.desk().store
    found = detail(store, name, number)
    st.subheader(f"Export trial {number}", anchor=False)
    trial_head(info, frame, number)
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch", key="bundle"):
        st.markdown("**The bundle**")
        size = f"about {bytes_text(found.artefact.size_bytes)}, " if found.artefact else ""
        kind = kind_of_task(str(info.spec.get("task", "text-classification")))
        st.caption(
            f"A zip ({size}streamed) with artefact, tokenizer, `{kind.script}` and its exact requirements. "
            f'It answers without the tuner: `python {kind.script} "a text"`.'
        )
        with st.container(horizontal=True):
            st.link_button(
                "Download the bundle",
                bundle_path(name, number),
                type="primary",
                icon=":material/download:",
                key="download_bundle",
            )
            st.download_button(
                "Candidate as YAML",
                candidate_yaml(found.trial.candidate),
                f"{name}-trial-{number}.yaml",
                "application/yaml",
                icon=":material/data_object:",
                on_click="ignore",
                key="download_yaml",
            )
        st.caption(
            "An artefact that is no longer in this machine's cache is built again first, which may take minutes."
        )
    with right.container(border=True, height="stretch", key="report"):
        st.markdown("**The report**")
        st.caption(
            "One HTML file that stands alone: this point, the front with its picture, and the whole study file. "
            "Made to be sent on."
        )
        st.download_button(
            "Download the report",
            lambda: report_html(StudyHandle.of(store, store.get_study(name)), number),
            f"{name}-trial-{number}.html",
            "text/html",
            icon=":material/article:",
            on_click="ignore",
            key="download_report",
        )
    st.markdown("**The same from the command line**")
    st.code(
        f"tuner export {shlex.quote(name)} --trial {number} -o best/\ntuner verify best/", language="bash"
    )
    st.markdown("**The candidate**")
    st.code(candidate_yaml(found.trial.candidate), language="yaml")
