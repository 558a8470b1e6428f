"""Compact: a journal's rows as one small Parquet file, on the clock of the whole recording."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tuner.candidate import Candidate
from tuner.metrics import Estimate
from tuner.pipeline.metrics import trial_metrics

#: Metrics that are kept, each with the two ends of its interval; a task has its own of the qualities and times.
KEPT = (
    "accuracy",
    "accuracy_drop",
    "f1_macro",
    "f1_macro_drop",
    "perplexity",
    "perplexity_increase",
    "agreement",
    "choice_accuracy",
    "choice_accuracy_drop",
    "latency_ms",
    "speedup",
    "throughput",
    "ttft_ms",
    "tpot_ms",
    "tokens_per_s",
    "memory_mb",
    "size_mb",
)
#: What a language model's quality is made of: a number for each document, and for each of the baseline's answers.
COUNTS = ("nll", "tokens", "hits", "answered")
_RAW = ("reference_ms", "pairs", "disturbed", "drift")
_STAGE = pa.struct(
    [("name", pa.string()), ("key", pa.string()), ("seconds", pa.float64()), ("hit", pa.bool_())]
)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("kind", pa.string()),
        ("hash", pa.string()),
        *((name, pa.int32()) for name in ("layers",)),
        *((name, pa.float64()) for name in ("heads", "ffn")),
        *((name, pa.string()) for name in ("engine", "device")),
        ("bits", pa.int32()),
        ("scheme", pa.string()),
        ("group_size", pa.int32()),
        ("method", pa.string()),
        ("kv_bits", pa.int32()),
        ("fixed_shape", pa.bool_()),
        ("draft", pa.string()),
        ("draft_layers", pa.int32()),
        ("draft_ffn", pa.float64()),
        ("draft_bits", pa.int32()),
        *((name, pa.int32()) for name in ("threads", "replicas", "slots")),
        *((name, pa.string()) for name in ("state", "failure", "reason")),
        *((f"{name}{end}", pa.float64()) for name in KEPT for end in ("", "_low", "_high")),
        *((f"ratio{end}", pa.float64()) for end in ("", "_low", "_high")),
        *((name, pa.float64()) for name in _RAW),
        ("correct", pa.binary()),
        ("documents", pa.int32()),
        *((name, pa.list_(pa.float64())) for name in COUNTS),
        ("stages", pa.list_(_STAGE)),
        ("start", pa.string()),
        ("steps", pa.int32()),
        *((name, pa.float64()) for name in ("elapsed", "load", "at")),
    ]
)


def compact(rows: Sequence[Mapping[str, Any]], meta: Mapping[str, Any], target: Path) -> None:
    """Write the rows to `target` (Parquet), and `meta` into it and beside it as JSON."""
    clock = clock_ms(rows)
    flat = [_flat(row, clock) for row in rows]
    whole = {**meta, "clock_ms": clock, "rows": len(flat)}
    schema = SCHEMA.with_metadata({"tuner": json.dumps(whole)})
    partial = target.with_suffix(".part")
    pq.write_table(pa.Table.from_pylist(flat, schema=schema), partial, compression="zstd")
    partial.replace(target)
    target.with_suffix(".json").write_text(json.dumps(whole, indent=1) + "\n")


def clock_ms(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the baseline's median in ms over all measurements: the clock of the table's latencies."""
    found = [row["performance"]["reference_ms"] for row in rows if "performance" in row]
    return statistics.median(found) if found else None


def _flat(row: Mapping[str, Any], clock: float | None) -> dict[str, Any]:
    candidate = Candidate.model_validate(row["candidate"])
    failure = row["failure"] or {}
    return {
        **{name: row.get(name) for name in ("id", "kind", "hash", "state", "documents", "start", "steps")},
        **{name: row.get(name) for name in ("stages", "elapsed", "load", "at", *COUNTS)},
        **axes(candidate),
        **_metrics(row, clock),
        "failure": failure.get("kind"),
        "reason": failure.get("reason"),
        "correct": bytes.fromhex(row["correct"]) if "correct" in row else None,
    }


def axes(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate's fields as columns."""
    parts = (candidate.pruning, candidate.backend, candidate.quantization, candidate.parallel)
    chosen = {name: value for part in parts for name, value in part}
    return {"layers": candidate.distillation.student_layers, **chosen}


def _metrics(row: Mapping[str, Any], clock: float | None) -> dict[str, Any]:
    quality = {name: Estimate(**one) for name, one in row.get("quality", {}).items()}
    performance = row.get("performance")
    if performance is None or clock is None:
        return {key: value for name, one in quality.items() for key, value in _ends(name, one).items()}
    found = trial_metrics(performance, dict(quality), clock)
    kept = {name: one for name in KEPT if (one := found.get(name)) is not None}
    return {
        **{key: value for name, one in kept.items() for key, value in _ends(name, one).items()},
        **_ends("ratio", Estimate(**performance["ratio"])),
        **{name: float(performance[name]) for name in _RAW},
    }


def _ends(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
