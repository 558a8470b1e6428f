"""The front's data: one row a point, all that the chart draws and says of it, for any pair of metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from dashboard.text import cut
from dashboard.views.filters import formats_of
from dashboard.views.numbers import SHOWN, interval_text
from dashboard.views.verdict import MEANINGS, verdicts
from tuner.metrics import COSTS
from tuner.service.placing import shown
from tuner.spec.wording import divided_text, format_text

#: More pale points than this tell nothing more, and cost the browser a second.
MOST_PALE = 3000
#: Intervals of more tied points than this would hide the points.
_MOST_TIED = 40
TOLD = ("latency_ms", "speedup", "accuracy", "accuracy_drop", "throughput", "memory_mb", "size_mb")
CHAT = ("latency_ms", "ttft_ms", "tpot_ms", "tokens_per_s", "speedup", "perplexity", "perplexity_increase", "agreement",
        "memory_mb", "size_mb")  # fmt: skip


def told_metrics(frame: pd.DataFrame, chat: bool) -> tuple[str, ...]:
    """Return the metrics that the hover names: joules and money where they are known."""
    known = [name for name in ("energy_j", *COSTS) if frame[name].notna().any()]
    return (*(CHAT if chat else TOLD), *known)


def front_data(
    frame: pd.DataFrame,
    x: str,
    y: str,
    offers: Mapping[str, int | None],
    picked: int | None,
    pruned: bool = False,
    apart: bool = False,
    told: Sequence[str] = TOLD,
) -> tuple[pd.DataFrame, int]:
    """Return the points to draw, the front last (on top), and how many pale ones were left out.

    With `pruned` also the trials that were given up early, where both metrics were known by then; with `apart` each
    host has a front line of its own. `told` are the metrics that the hover names.
    """
    states = ["complete", "pruned"] if pruned else ["complete"]
    data = frame[frame["state"].isin(states) & frame[x].notna() & frame[y].notna()]
    data = data[~data["discarded"] | (data["number"] == picked)]
    role = verdicts(data)
    named = {number for number in (*offers.values(), picked) if number is not None}
    kept, left_out = _thinned(data, role, named)
    data, role = data[kept], role[kept]
    out = pd.DataFrame({"trial": data["number"].astype(int), "role": role})
    for axis, name in (("x", x), ("y", y)):
        scale = SHOWN[name].scale
        out[axis] = data[name] * scale
        for end in ("low", "high"):
            column = data[f"{name}_{end}"] * scale
            out[f"{axis}_{end}"] = column.where(column.abs() < 1e100, out[axis])
    out["engine"] = data["engine"]
    out["format"] = formats_of(data)
    parts = [rows for _, rows in frame.groupby("host", dropna=False)] if apart and len(frame) else [frame]
    turns = pd.concat([steps(rows, x, y) for rows in parts])
    out["step"] = turns.reindex(data.index, fill_value=False)
    out["line"] = data["host"].fillna("") if apart else ""
    out["baseline"] = data["is_baseline"]
    out["picked"] = data["number"] == picked
    strong = ("front", "tied") if (role == "tied").sum() <= _MOST_TIED else ("front",)
    out["spread"] = out["role"].isin(strong) | out["baseline"] | out["picked"]
    labels = {number: " · ".join(n for n, v in offers.items() if v == number) for number in named}
    out["offer"] = data["number"].map(labels).fillna("")
    _tell(out, data, told)
    order = {word: -place for place, word in enumerate(MEANINGS)}
    return out.sort_values("role", key=lambda s: s.map(order), kind="stable").reset_index(drop=True), left_out


def _thinned(data: pd.DataFrame, role: np.ndarray, named: set[int]) -> tuple[np.ndarray, int]:
    """Keep the front, what is named, and of the rest those tied with it, the best by rank and then an even share."""
    keep = (role == "front") | data["number"].isin(named).to_numpy() | data["is_baseline"].to_numpy(bool)
    rest = np.flatnonzero(~keep)
    if len(rest) <= MOST_PALE:
        return np.ones(len(data), dtype=bool), 0
    ranks = data["rank"].fillna(np.inf).to_numpy()[rest]
    best = rest[np.lexsort([ranks, role[rest] != "tied"])]
    near, far = best[: MOST_PALE // 2], best[MOST_PALE // 2 :]
    keep[near] = True
    keep[far[np.linspace(0, len(far) - 1, MOST_PALE - len(near)).astype(int)]] = True
    return keep, int((~keep).sum())


def steps(frame: pd.DataFrame, x: str, y: str) -> pd.Series:
    """Say which points the front's line turns at, in the plane of these two metrics."""
    offered = frame["feasible"] & shown(frame) & frame[x].notna() & frame[y].notna()
    signs = {name: 1.0 if SHOWN[name].lower_is_better else -1.0 for name in (x, y)}
    points = pd.DataFrame({"x": frame[x] * signs[x], "y": frame[y] * signs[y]})[offered].sort_values(
        ["x", "y"]
    )
    best = points["y"].cummin()
    turns = points["y"] < best.shift(fill_value=np.inf)
    return turns.reindex(frame.index, fill_value=False).astype(bool)


def _tell(out: pd.DataFrame, data: pd.DataFrame, metrics: Sequence[str]) -> None:
    """Add what the hover says: the whole candidate, and each metric with its interval."""
    out["Candidate"] = [cut(label, 120) for label in data["label"]]
    out["Layers"] = data["student_layers"]
    out["Heads removed"] = [f"{v:.0%}" for v in data["heads"].fillna(0)]
    out["FFN removed"] = [f"{v:.0%}" for v in data["ffn"].fillna(0)]
    out["Number format"] = [
        format_text(b, s) + ("" if pd.isna(m) else f", {m}")
        for b, s, m in zip(data["bits"], data["scheme"], data["method"], strict=True)
    ]
    out["Group size"] = ["–" if pd.isna(g) else f"{int(g)}" for g in data["group_size"]]
    out["Fixed shape"] = np.where(data["fixed_shape"].fillna(False).astype(bool), "yes", "no")
    out["Host"] = [cut(h or "unknown", 60) for h in data["host_name"]]
    out["Threads × replicas"] = [
        f"{int(t)} × {int(r)}{divided_text(n, p)}"
        for t, r, n, p in zip(
            data["threads"], data["replicas"], data["tensor"], data["pipeline"], strict=True
        )
    ]
    out["Verdict"] = [
        ("confirmed on test data, " if c else "") + MEANINGS[r]
        for c, r in zip(data["confirmed"], out["role"], strict=True)
    ]
    for name in metrics:
        columns = (data[f"{name}_low"], data[name], data[f"{name}_high"])
        out[SHOWN[name].label] = [told(name, *values) for values in zip(*columns, strict=True)]


def told(name: str, low: float, value: float, high: float) -> str:
    """Return a value with its interval in brackets."""
    from dashboard.views.numbers import metric_text

    spread = interval_text(name, low, value, high)
    return metric_text(name, value) + (f"  ({spread})" if spread else "")
