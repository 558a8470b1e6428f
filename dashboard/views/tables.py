"""Tables: trials and studies as rows. Numbers stay numbers, so that they can be sorted; units are in the headings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo

import pandas as pd

from dashboard.text import cut
from dashboard.views.numbers import SHOWN, moment_text
from dashboard.views.verdict import verdicts
from tuner.metrics import LOSS
from tuner.search.standing import WORDS
from tuner.spec.wording import generates
from tuner.store.records import Event

#: Failures that the log lists at most.
LOGGED = 200


def trials_table(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return all trials as a table, the front first, then what is tied with it, and all by speed.

    Metrics are in the units that are shown.
    """
    place = frame["standing"].map({word: i for i, word in enumerate(WORDS)}).astype(float)
    order = frame.assign(place=place).sort_values(["place", "rank", "latency_ms", "number"])
    out = pd.DataFrame({"Trial": order["number"].astype(int), "State": verdicts(order)})
    for name in dict.fromkeys(
        ["speedup", "latency_ms", metric, LOSS[metric], "memory_mb", "size_mb", *SHOWN]
    ):
        out[SHOWN[name].title] = order[name] * SHOWN[name].scale
    out["Layers"] = order["student_layers"]
    out["Heads removed (%)"] = order["heads"] * 100
    out["FFN removed (%)"] = order["ffn"] * 100
    out["Bits"] = order["bits"]
    out["Scheme"] = order["scheme"]
    if generates(metric):
        out["Method"], out["KV cache (bits)"] = order["method"], order["kv_bits"]
    out["Engine"] = [cut(e, 60) for e in order["engine"]]
    out["Threads"], out["Replicas"] = order["threads"], order["replicas"]
    if (order[["tensor", "pipeline"]] > 1).any(axis=None):
        out["Tensor"], out["Pipeline"] = order["tensor"], order["pipeline"]
    out["Fixed shape"] = order["fixed_shape"].astype(bool)
    out["Host"] = [cut(h or "", 60) for h in order["host_name"]]
    out["Seconds"] = (
        pd.to_datetime(order["finished_at"], utc=True) - pd.to_datetime(order["started_at"], utc=True)
    ).dt.total_seconds()
    out["Reason"] = [cut(r or "", 300) for r in order["reason"].fillna("")]
    return out.reset_index(drop=True)


def failures_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return failed and pruned trials with their reasons, the last first."""
    found = frame[frame["state"].isin(["failed", "pruned"])].sort_values("number", ascending=False)
    kinds = [f"{cut(k or s, 40)}" for k, s in zip(found["kind"], found["state"], strict=True)]
    reasons = [cut(r or "", 400) for r in found["reason"].fillna("")]
    labels = [cut(label, 120) for label in found["label"]]
    return pd.DataFrame(
        {"Trial": found["number"].astype(int), "What": kinds, "Reason": reasons, "Candidate": labels}
    )


def position_of(trials: Sequence[int | None], picked: int | None) -> int | None:
    """Return the first row that stands for the picked trial."""
    return None if picked is None or picked not in trials else list(trials).index(picked)


def log_table(
    frame: pd.DataFrame, events: Sequence[Event], created: datetime, zone: tzinfo, now: datetime
) -> pd.DataFrame:
    """Return events and failures of these trials, the newest first."""
    numbers = dict(zip(frame["id"], frame["number"], strict=True))
    rows = [
        (e.at, numbers.get(e.trial_id), e.kind, e.message)
        for e in events
        if e.trial_id is None or e.trial_id in numbers
    ]
    failed = frame[frame["reason"].notna()].sort_values("number", ascending=False).head(LOGGED)
    ended = zip(failed["finished_at"], failed["number"], failed["state"], failed["reason"], strict=True)
    rows += [(created if pd.isna(at) else at, n, state, reason) for at, n, state, reason in ended]
    rows.sort(key=lambda row: row[0], reverse=True)
    return pd.DataFrame(
        {
            "When": [moment_text(at, zone, now) for at, _, _, _ in rows],
            "Trial": pd.array([None if n is None else int(n) for _, n, _, _ in rows], dtype="Int64"),
            "What": [cut(kind, 40) for _, _, kind, _ in rows],
            "Message": [cut(message, 500) for _, _, _, message in rows],
        }
    )


def column_names(table: pd.DataFrame, first: Sequence[str]) -> list[str]:
    """Return the columns of a table, those of interest first."""
    return [*(name for name in first if name in table), *(name for name in table if name not in first)]
