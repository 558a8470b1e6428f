"""What the service stands on, as tables."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.components.guard import failing_softly
from dashboard.components.workers import no_worker_note
from dashboard.text import table_height
from dashboard.views.numbers import bytes_text
from dashboard.views.system import cache_table, engines_table, hosts_table, queue_table, workers_table
from tuner.service.overview import state_of


def system_body() -> None:
    """Draw it; looked at again every two seconds, for workers come and go."""
    with failing_softly("System"):
        overview = data.desk().overview()
        store = data.desk().store
        no_worker_note(overview, always=True)
        _numbers(overview)
        _table(
            "Workers",
            workers_table(overview, data.zone(), data.now()),
            "No worker was ever started on this database.",
        )
        _table("Queue", queue_table(store.queue()), "Nothing is queued, nothing runs.")
        alive = [
            (w.name, w.capabilities.get("offers", ())) for w in store.workers() if state_of(w) == "alive"
        ]
        _table(
            "Engines of the living workers",
            engines_table(alive),
            "Nobody is there to ask; the Launch page asks this machine.",
        )
        _table(
            "Hosts that measured",
            hosts_table(store.hosts()),
            "Nothing was measured yet.",
            {"Memory (GB)": st.column_config.NumberColumn(format="%.1f")},
        )
        _table(
            "What the cache of this host holds",
            cache_table(data.disk()),
            "Nothing yet: the first trial fills it.",
            {"Share (%)": st.column_config.NumberColumn(format="%.1f")},
        )
        st.caption("`tuner gc` removes what no stored study refers to.")


def _numbers(overview: object) -> None:
    store = data.desk().store
    revision, wanted = store.revision()
    count, size = store.artefact_bytes()
    disk = data.disk()
    built = disk.of("build")
    kind = "SQLite file" if store.url.get_backend_name() == "sqlite" else "PostgreSQL"
    cards = [
        ("Workers alive", str(overview.alive), f"of {len(overview.workers)} known"),  # type: ignore[attr-defined]
        ("Studies", str(len(overview.studies)), f"{sum(s.is_open for s in overview.studies)} open"),  # type: ignore[attr-defined]
        (
            "Database",
            f"revision {revision or 'none'}",
            f"{kind}, {'up to date' if revision == wanted else f'{wanted} is needed'}",
        ),
        (
            "Artefacts on this host",
            bytes_text(built.size_bytes),
            f"{built.entries} in the cache; {count} built on all hosts, {bytes_text(size)}",
        ),
        (
            "Cache of this host",
            bytes_text(disk.size_bytes),
            f"{bytes_text(disk.free_bytes)} of {bytes_text(disk.total_bytes)} free",
        ),
    ]
    with st.container(horizontal=True, gap="small"):
        for label, value, note in cards:
            st.metric(label, value, note, delta_color="off", delta_arrow="off", border=True, width="stretch")


def _table(title: str, table: pd.DataFrame, empty: str, config: dict | None = None) -> None:  # type: ignore[type-arg]
    st.markdown(f"**{title}**")
    if table.empty:
        st.caption(empty)
    else:
        st.dataframe(
            table, hide_index=True, column_config=config, alt=title, height=table_height(len(table), 10)
        )
