"""Chat: a study's confirmed points beside each engine's fastest whole model, and decoding against the memory.

    python -m benchmarks.chat [--home .demo] [--study chat] [--limits 0.03 0.10] [-o FILE]

The confirmation measured them interleaved in one run, beside fp32 PyTorch eager, and judged them on the test split.
Ours are the fastest within each limit on the perplexity's increase. Decode speed is held against the memory: the bytes
of the weights' files, read once for each token, over the bandwidth of copying, measured now. Of an embedding that is
stored beside a head of its own (methods with `_all`) a token reads one row.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import environment
from tuner.service.api import load
from tuner.service.handle import StudyHandle
from tuner.service.rows import TrialRow
from tuner.spec.sources import locate_model

_RESULTS = Path(__file__).parent / "results"
_COPIED = 1 << 28  # bytes that each thread copies: far beyond all caches


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, default=Path(".demo"))
    parser.add_argument("--study", default="chat")
    parser.add_argument("--limits", type=float, nargs="+", default=[0.03, 0.10])
    parser.add_argument("-o", "--out", type=Path, default=_RESULTS / "chat.json")
    asked = parser.parse_args(arguments)
    study = load(asked.study, f"sqlite:///{(asked.home / 'tuner.db').resolve()}")
    bandwidth = copy_bandwidth(len(study.host["cores"]))
    rows = confirmed(study)
    table = table_mb(locate_model(study.spec["model"]["source"]))
    found = [_plain(row, _names(rows, row, asked.limits), bandwidth, table) for row in rows]
    record = {
        "host": environment(),
        "when": time.strftime("%Y-%m-%d"),
        "spec": dict(study.spec),
        "copy_gb_per_s": bandwidth,
        "runs": found,
    }
    asked.out.write_text(json.dumps(record, indent=1) + "\n")
    for run in found:
        print(run["label"], run["names"], {k: v and v["value"] for k, v in run["metrics"].items()})


def confirmed(study: StudyHandle) -> list[TrialRow]:
    """Return the trials that the confirmation measured, the fastest first."""
    rows = [row for row in study.rows() if row.confirmed is not None]
    return sorted(rows, key=lambda row: _value(row, "latency_ms"))


def _names(rows: Sequence[TrialRow], row: TrialRow, limits: Sequence[float]) -> list[str]:
    """Return within which limits a trial is the fastest of `rows`, which come fastest first."""
    found = []
    for limit in limits:
        within = [r for r in rows if r.feasible and _value(r, "perplexity_increase") <= limit]
        if within and within[0].number == row.number:
            found.append(f"the fastest within {limit:.0%}")
    return found


def _value(row: TrialRow, metric: str) -> float:
    estimate = row.estimate(metric)
    return float("inf") if estimate is None else estimate.value


def _plain(row: TrialRow, names: Sequence[str], bandwidth: float, table: float) -> dict[str, Any]:
    metrics = {name: None if e is None else e.model_dump() for name, e in (row.confirmed or {}).items()}
    token, method = metrics.get("tpot_ms"), row.candidate.quantization.method or ""
    beside = table if method.startswith("gptq") and method.endswith("_all") else 0.0
    megabytes = _value(row, "size_mb") - beside
    read = None if token is None else megabytes / token["value"]  # MB a ms are GB a second
    return {
        "trial": row.number,
        "label": row.candidate.label(),
        "names": list(names),
        "metrics": metrics,
        "read_gb_per_s": read,
        "share_of_bandwidth": None if read is None else read / bandwidth,
    }


def table_mb(source: Path) -> float:
    """Return the size of a GGUF's embedding in 8 bits (blocks of 32 weights with an fp16 scale), in MB."""
    from gguf import GGUFReader

    (file,) = source.rglob("*.gguf")
    (table,) = (one for one in GGUFReader(file).tensors if one.name == "token_embd.weight")
    return int(table.n_elements) * 34 / 32 / 1e6


def copy_bandwidth(threads: int, repeats: int = 5) -> float:
    """Return the best of some copies far beyond the caches, in GB/s of bytes read and written by all threads."""
    sources = [np.ones(_COPIED // 8) for _ in range(threads)]
    targets = [np.zeros(_COPIED // 8) for _ in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            begin = time.perf_counter()
            list(pool.map(np.copyto, targets, sources))
            best = max(best, 2 * threads * _COPIED / (time.perf_counter() - begin) / 1e9)
    return best


if __name__ == "__main__":
    main()
