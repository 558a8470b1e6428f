"""Tables whose rows stand for trials: a click picks the row's trial, and the picked trial's row is marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components.offers import pick
from dashboard.views.tables import position_of


def picking_table(
    table: pd.DataFrame,
    trials: Sequence[int | None],
    key: str,
    picked: int | None,
    alt: str,
    height: int | str,
    columns: Mapping[str, Any] | None = None,
) -> None:
    """Draw a table; `trials` has the trial of each row, None where it stands for none.

    A selection is a position. It is set anew at every look, for the rows move while a study runs; a click is
    understood by the order that was on the screen when it came.
    """
    st.session_state[f"_{key}_trials"] = list(trials)
    at = position_of(trials, picked)
    wanted = [] if at is None else [at]
    if _rows(key) != wanted:
        st.session_state[key] = {"selection": {"rows": wanted, "columns": [], "cells": []}}
    st.dataframe(
        table,
        hide_index=True,
        key=key,
        on_select=lambda: _clicked(key),
        selection_mode="single-row",
        height=height,  # type: ignore[arg-type]
        column_config=dict(columns or {}),
        placeholder="–",
        alt=alt,
    )


def _clicked(key: str) -> None:
    rows, trials = _rows(key), st.session_state.get(f"_{key}_trials", [])
    if rows and rows[0] < len(trials) and trials[rows[0]] is not None:
        pick(int(trials[rows[0]]))


def _rows(key: str) -> list[int]:
    event: Any = st.session_state.get(key) or {}
    return list(event.get("selection", {}).get("rows") or [])
