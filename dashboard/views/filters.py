"""Filters: which trials are looked at."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dashboard.views.palette import Palette
from tuner.spec.wording import FORMATS, format_name


def choices(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the engines and number formats that occur, in a fixed order."""
    engines, _ = Palette(False).engines(frame["engine"].dropna())
    found = set(formats_of(frame))
    return engines, [name for name in FORMATS if name in found]


def formats_of(frame: pd.DataFrame) -> pd.Series:
    """Return each trial's number format by name."""
    names = [format_name(bits, scheme) for bits, scheme in zip(frame["bits"], frame["scheme"], strict=True)]
    return pd.Series(names, index=frame.index, dtype=object)


def filtered(
    frame: pd.DataFrame,
    engines: Sequence[str],
    formats: Sequence[str],
    feasible: bool,
    hosts: Sequence[str] = (),
) -> pd.DataFrame:
    """Return the trials of these engines, formats and hosts; no choice means all. The baseline always stays."""
    kept = pd.Series(True, index=frame.index)
    if engines:
        kept &= frame["engine"].isin(engines)
    if formats:
        kept &= formats_of(frame).isin(formats)
    if hosts:
        kept &= frame["host_name"].isin(hosts)
    if feasible:
        kept &= frame["feasible"]
    return frame[kept | frame["is_baseline"]]


def hosts_in(frame: pd.DataFrame) -> list[str]:
    """Return the names of the hosts that took part."""
    return sorted(set(frame["host_name"].dropna()))
