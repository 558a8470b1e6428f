"""Chat: the exported points of a language model's study beside each engine's own 4-bit default, in one run.

    python -m benchmarks.chat [--home .demo] [--study chat] [--limits 0.03 0.10] [-o FILE]

Our points are the fastest confirmed ones within each limit on the perplexity's increase; a peer is the untouched model
as an engine's own tool quantizes it unasked. All are measured interleaved with fp32 PyTorch eager and with each other,
and judged on the test split. Decode speed is also held against the memory: the bytes of the weights' files, read once
for each token, over the bandwidth of copying.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import environment
from benchmarks.recording.place import Place, opened
from tuner.backends.registry import offers
from tuner.candidate import Backend, Candidate, Distillation, Parallel, Quantization, baseline
from tuner.errors import TunerError
from tuner.measure.performance import Performance
from tuner.pipeline.cache import Entry
from tuner.pipeline.evaluate import build_candidate
from tuner.pipeline.metrics import trial_metrics
from tuner.pipeline.quality import answers, judge
from tuner.service.api import load
from tuner.service.handle import StudyHandle
from tuner.spec.model import StudySpec

_RESULTS = Path(__file__).parent / "results"
_COPIED = 1 << 28  # bytes that each thread copies: far beyond all caches


@dataclass(frozen=True)
class Contestant:
    """Somebody's artefact: `by` is tuner or an engine's name."""

    by: str
    name: str
    candidate: Candidate
    artefact: Entry


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, default=Path(".demo"))
    parser.add_argument("--study", default="chat")
    parser.add_argument("--limits", type=float, nargs="+", default=[0.03, 0.10])
    parser.add_argument("--seconds", type=float, default=60.0, help="time cap of each measurement")
    parser.add_argument("-o", "--out", type=Path, default=_RESULTS / "chat.json")
    asked = parser.parse_args(arguments)
    os.environ["TUNER_HOME"] = str(asked.home.resolve())
    study = load(asked.study, f"sqlite:///{asked.home / 'tuner.db'}")
    plain = dict(study.spec)
    spec = StudySpec.model_validate({**plain, "measure": {"precision": 0.02, "seconds": asked.seconds}})
    with opened(spec, asked.home) as place:
        found = measured(place, [*ours(place, study, asked.limits), *peers(place)])
    record = {"host": environment(), "when": time.strftime("%Y-%m-%d"), "spec": plain, "runs": found}
    asked.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def ours(place: Place, study: StudyHandle, limits: Sequence[float]) -> Iterator[Contestant]:
    """Yield the fastest confirmed point within each limit on the perplexity's increase."""
    seen = set()
    for limit in limits:
        rows = [
            r for r in study.front_rows() if (e := r.estimate("perplexity_increase")) and e.value <= limit
        ]
        if rows:
            row = min(rows, key=lambda r: r.estimate("latency_ms").value)  # type: ignore[union-attr]
            if row.number not in seen:
                seen.add(row.number)
                built = build_candidate(place.shop, place.ready, row.candidate)
                yield Contestant("tuner", f"within {limit:.0%}", row.candidate, built)


def peers(place: Place) -> Iterator[Contestant]:
    """Yield the baseline against itself, and the untouched model at 16 and 4 bits as each engine does it unasked."""
    cores, layers = len(place.shop.host.cores), place.ready.layers
    first = baseline(layers, cores)
    yield Contestant("torch", "fp32 eager, against itself", first, place.bench.reference_artefact)
    for engine, offer in offers(place.shop.host, "text-generation"):
        if offer.available and offer.bits in (16, 4):
            candidate = Candidate(
                distillation=Distillation(student_layers=layers),
                quantization=Quantization(
                    bits=offer.bits,
                    scheme=offer.scheme,  # type: ignore[arg-type]
                    group_size=(128 if 128 in offer.group_sizes else max(offer.group_sizes, default=None)),
                    method=next(iter(offer.methods), None),
                ),
                parallel=Parallel(threads=cores),
                backend=Backend(engine=engine, device=offer.device),
            )
            try:
                built = build_candidate(place.shop, place.ready, candidate)
            except TunerError as error:
                print(f"{candidate.label()}: {error}")
                continue
            yield Contestant(engine, f"{offer.bits} bits, default", candidate, built)


def measured(place: Place, contestants: Sequence[Contestant]) -> list[dict[str, Any]]:
    """Return what each is worth, all measured in one interleaved run."""
    runs = place.bench.together([(one.artefact, one.candidate) for one in contestants])
    base = answers(place.shop, place.ready, place.bench.reference_artefact, "test")
    found = []
    for one, performance in zip(contestants, runs, strict=True):
        own = answers(place.shop, place.ready, one.artefact, "test")
        quality = judge(place.shop, place.ready, "test", own, base).quality
        metrics = trial_metrics(performance.to_json(), quality, performance.reference_ms)
        plain = {name: None if e is None else e.model_dump() for name, e in metrics.items()}
        threads = one.candidate.parallel.threads
        bound = _bound(one.artefact, performance, threads)
        found.append(
            {"by": one.by, "name": one.name, "label": one.candidate.label(), "metrics": plain, **bound}
        )
    return found


def _bound(artefact: Entry, performance: Performance, threads: int) -> dict[str, float | None]:
    """Return the copy bandwidth in GB/s (bytes read and written) and the share of it that decoding reads."""
    bandwidth, gap = copy_bandwidth(threads), performance.details.get("tpot_ms")
    if gap is None:
        return {"copy_gb_per_s": bandwidth, "share_of_bandwidth": None}
    read = performance.size_mb / 1e3 / (gap.value / 1e3)  # GB a second
    return {"copy_gb_per_s": bandwidth, "read_gb_per_s": read, "share_of_bandwidth": read / bandwidth}


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
