"""Table: all trials of a study as one DataFrame, brought up to date by what changed, for screens.

One row a trial, by number. Columns: `number`, `id`, `state`, `kind`, `reason`, the candidate's fields and its `label`,
`feasible`, `standing`, `on_front` and `rank` (see `placing`), `is_baseline`, `confirmed`, `discarded`, `worker`,
`host`, times, and of each metric `NAME`, `NAME_low`, `NAME_high` as they are shown (confirmed where they were) and
`search_NAME`; of the objectives also `search_NAME_low` and `search_NAME_high`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from tuner.candidate import Candidate
from tuner.metrics import METRICS, RATES, TIMES
from tuner.service.placing import decisive, place
from tuner.service.points import is_baseline
from tuner.spec.constraint import Constraint, parse_constraint
from tuner.store import Store
from tuner.store.cells import Cell
from tuner.store.records import Study

_PLAIN = (
    "number", "id", "state", "kind", "reason", "seed", "artefact_key", "worker", "attempt", "host", "host_name",
    "created_at", "started_at", "finished_at",
)  # fmt: skip
_TEXTS = ("kind", "reason", "artefact_key", "worker", "host", "host_name", "discard_reason")
AXES = (
    "student_layers", "heads", "ffn", "bits", "scheme", "group_size", "method", "kv_bits", "threads", "replicas",
    "tensor", "pipeline", "engine", "device", "fixed_shape",
)  # fmt: skip
_ENDS = ("", "_low", "_high")
_FLAGS = ("seed", "confirmed", "discarded", "is_baseline", "feasible", "search_feasible")


@dataclass
class Table:
    """The trials of one study, kept from one look to the next. Safe to share between threads."""

    _rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    _seen: datetime | None = None
    _frame: pd.DataFrame | None = None
    _key: tuple[Any, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, store: Store, study: Study) -> pd.DataFrame:
        """Return the frame as the database has it now; the same object as before where nothing changed."""
        with self._lock:
            key = (study.id, study.updated_at, study.state, tuple(sorted(study.clocks.items())))
            if self._frame is not None and key == self._key:
                return self._frame
            seen = store.looked_at()
            for cell in store.cells(study.id, self._seen):
                self._rows[cell.number] = flat(cell, study)
            self._seen, self._key = seen, key
            self._frame = frame_of(study, [self._rows[n] for n in sorted(self._rows)])
            return self._frame


def frame_of(study: Study, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return flat rows as a frame on the study's clock, with feasibility, front and ranks."""
    frame = _typed(pd.DataFrame(list(rows), columns=columns(study.spec["objectives"])), study)
    for name in _TEXTS:  # pandas would put NaN, which is true, where nothing was said
        frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
    _set_clock(frame, study)
    constraints = [parse_constraint(text) for text in study.spec["constraints"]]
    complete = (frame["state"] == "complete") & ~frame["discarded"].astype(bool)
    frame["feasible"] = complete & _met(frame, constraints, "")
    frame["search_feasible"] = complete & _met(frame, constraints, "search_")
    for name in _FLAGS:
        frame[name] = frame[name].fillna(False).astype(bool)
    place(frame, study.spec["objectives"], study.spec.get("hosts") != "choice")
    return frame


def columns(objectives: Sequence[str]) -> list[str]:
    """Return the columns of the flat rows."""
    metrics = [f"{name}{end}" for name in METRICS for end in _ENDS]
    known = [*_PLAIN, "discard_reason", "discarded", "confirmed", "is_baseline", "label", *AXES, *metrics]
    return [*known, "ratio", "search_ratio", *_searched(objectives)]


def _searched(objectives: Sequence[str]) -> list[str]:
    """Return the columns of what the search measured: with intervals where they decide how a trial stands."""
    ends = [f"search_{name}{end}" for name in decisive(objectives) for end in _ENDS[1:]]
    return [*(f"search_{name}" for name in METRICS), *ends]


def flat(cell: Cell, study: Study) -> dict[str, Any]:
    """Return one trial as a flat row, its metrics as they were stored."""
    row: dict[str, Any] = {name: getattr(cell, name) for name in _PLAIN}
    intervals = decisive(study.spec["objectives"])
    row["tensor"] = row["pipeline"] = 1  # a candidate says so only where it is divided
    for part in cell.candidate.values():
        row.update({name: value for name, value in part.items() if name != "host"})  # a column of its own
    row["discarded"], row["discard_reason"] = cell.discarded_at is not None, cell.discard_reason
    row["confirmed"] = cell.confirmed is not None
    candidate = Candidate.model_construct(
        **{
            name: Candidate.model_fields[name].annotation.model_construct(**part)  # type: ignore[union-attr]
            for name, part in cell.candidate.items()
        }
    )
    row["label"], row["is_baseline"] = candidate.label(), is_baseline(study, candidate)
    for name, estimate in (cell.confirmed or cell.metrics).items():
        if estimate is not None and name in METRICS:
            row[name], row[f"{name}_low"], row[f"{name}_high"] = (
                estimate[k] for k in ("value", "low", "high")
            )
    for name, estimate in cell.metrics.items():
        if estimate is not None:
            row[f"search_{name}"] = estimate["value"]
            if name in intervals:
                row[f"search_{name}_low"], row[f"search_{name}_high"] = estimate["low"], estimate["high"]
    ratio = cell.confirmed_ratio if cell.confirmed is not None else cell.ratio
    row["ratio"] = None if ratio is None else ratio["value"]
    row["search_ratio"] = None if cell.ratio is None else cell.ratio["value"]
    return row


def _typed(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the frame with numbers as numbers, all at once: column by column would take it apart."""
    measured = [f"{name}{end}" for name in METRICS for end in _ENDS]
    numbers = [*measured, *_searched(study.spec["objectives"]), "ratio", "search_ratio"]
    return pd.concat([frame.drop(columns=numbers), frame[numbers].apply(pd.to_numeric).astype(float)], axis=1)


def _set_clock(frame: pd.DataFrame, study: Study) -> None:
    """Move stored latencies to the median of the baseline that is known by now, as `on_clock` does."""
    only = next(iter(study.clocks.values()), np.nan)
    clock = frame["host"].map(dict(study.clocks)).astype(float).where(frame["host"].notna(), only)
    for prefix, ratio in (("", "ratio"), ("search_", "search_ratio")):
        drift = (frame[ratio] * clock / frame[f"{prefix}latency_ms"]).fillna(1.0)
        for names, factor in ((TIMES, drift), (RATES, 1 / drift)):
            moved = [c for name in names for end in _ENDS if (c := f"{prefix}{name}{end}") in frame]
            frame.loc[:, moved] = frame[moved].mul(factor, axis=0)


def _met(frame: pd.DataFrame, constraints: Sequence[Constraint], prefix: str) -> pd.Series:
    met = pd.Series(True, index=frame.index)
    for c in constraints:
        value = frame[prefix + c.metric]
        met &= {"<=": value <= c.bound, ">=": value >= c.bound, "<": value < c.bound, ">": value > c.bound}[
            c.op
        ]
    return met
