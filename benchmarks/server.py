"""The server scenario: the largest rate of three ways to run one artefact, each confirmed by a run at 90 % of it.

    python -m benchmarks.server [STUDY.yaml] [--home .demo] [--p99 60] [--repeats 2] [-o FILE]

ONNX Runtime's dynamic int8 of the whole model: one session on all cores, a session for each core, and these with up
to 8 requests answered together. Rates are found one after the other; then all that have one are run at 90 % of theirs,
by turns, on schedules that the search has not seen. The bound is wider than the study's, which this model alone misses
on a machine whose neighbours take a core away for some milliseconds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.environment import environment
from benchmarks.reporting.server import carries, server
from tuner.candidate import Backend, Candidate, Distillation, Parallel, Quantization
from tuner.hardware import this_host
from tuner.pipeline.bench import Bench
from tuner.pipeline.cache import Cache, Entry
from tuner.pipeline.evaluate import build_candidate
from tuner.pipeline.jobs import Jobs
from tuner.pipeline.prepare import prepare
from tuner.pipeline.workshop import Workshop, job_limits
from tuner.spec.load import load_spec
from tuner.spec.model import StudySpec

_RESULTS = Path(__file__).parent / "results"
_SHARE = 0.9  # of the found rate, at which it is confirmed


def main(arguments: Sequence[str] | None = None) -> None:
    """Find, confirm, store, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", type=Path, nargs="?", default=Path("studies/server.yaml"))
    parser.add_argument("--home", type=Path, default=Path(".demo"))
    parser.add_argument("--p99", type=float, default=60.0, help="bound on the 99th percentile, in ms")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, default=_RESULTS / "server.json")
    asked = parser.parse_args(arguments)
    bound = f"scenario.p99_ms={asked.p99:g}"
    spec = load_spec(asked.study, ["scenario.rate=max", bound, "objectives=[accuracy, server_rate]"])
    begin = time.monotonic()
    with Place(spec, asked.home) as place:
        runs = [_told(place.found(way)) for way in ways(len(this_host().cores))]
        for seed in range(1, 1 + asked.repeats):
            for run in filter(carries, runs):
                run["confirmed"].append(place.at(run, _SHARE * run["rate"]["value"], seed))
    record = {
        "host": environment(),
        "when": time.strftime("%Y-%m-%d"),
        "scenario": spec.scenario.model_dump(mode="json"),
        "share": _SHARE,
        "seconds": time.monotonic() - begin,
        "runs": runs,
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(record, indent=1) + "\n")
    print(server(record))


def _told(run: dict[str, Any]) -> dict[str, Any]:
    found = f"{run['rate']['value']:.0f} requests/s" if carries(run) else "no rate"
    print(f"{run['label']}: {found} after {len(run['probes'])} probes", flush=True)
    return run


def ways(cores: int) -> list[Parallel]:
    """Return the ways that are held against each other: all cores in one session, a session for each, and batches."""
    return [
        Parallel(threads=cores),
        Parallel(replicas=cores),
        Parallel(replicas=cores, max_batch=8),
    ]


class Place:
    """One artefact of the study's whole model, and benches that put it under load. Ends with the context."""

    def __init__(self, spec: StudySpec, home: Path) -> None:
        self._spec, self._host, self._stack = spec, this_host(), ExitStack()
        self._jobs = self._stack.enter_context(Jobs(job_limits(spec.limits, self._host), home / "jobs"))
        self._cache = Cache(home / "cache")
        shop = self._shop(spec)
        self._ready = prepare(shop)
        self._built = build_candidate(shop, self._ready, self._candidate(Parallel()))
        self._bench = self._stack.enter_context(Bench(shop, self._ready))

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def found(self, way: Parallel) -> dict[str, Any]:
        """Return the largest rate of a way to run the artefact, with the percentile there and all probes."""
        measured = self._measured(self._bench, self._candidate(way))
        metrics = measured["server"]["metrics"]
        return {
            "label": self._candidate(way).label(),
            "parallel": way.model_dump(),
            "rate": metrics["server_rate"],
            "p99_ms": metrics["server_p99_ms"],
            "capacity": measured["server"]["capacity"],
            "latency_ms": measured["p50_ms"],
            "cores": measured["cores"],
            "probes": measured["server"]["probes"],
            "confirmed": [],
        }

    def at(self, run: dict[str, Any], rate: float, seed: int) -> dict[str, Any]:
        """Return what a way makes of one rate, on a schedule of its own."""
        scenario = self._spec.scenario.model_copy(update={"rate": rate})
        spec = self._spec.model_copy(update={"scenario": scenario, "seed": self._spec.seed + 1000 * seed})
        with Bench(self._shop(spec), self._ready) as bench:
            measured = self._measured(bench, self._candidate(Parallel(**run["parallel"])))
        (probe,) = measured["server"]["probes"]
        return {"rate": rate, "p99_ms": measured["server"]["metrics"]["server_p99_ms"], **probe["details"],
                "answers": probe["answers"], "late": probe["late"]}  # fmt: skip

    def _measured(self, bench: Bench, candidate: Candidate) -> dict[str, Any]:
        built: Entry = self._built
        return bench.together([(built, candidate)])[0].to_json()

    def _shop(self, spec: StudySpec) -> Workshop:
        return Workshop(spec, self._cache, self._jobs, self._host)

    def _candidate(self, way: Parallel) -> Candidate:
        return Candidate(
            distillation=Distillation(student_layers=self._ready.layers),
            quantization=Quantization(bits=8, scheme="dynamic"),
            parallel=way,
            backend=Backend(engine="onnxruntime"),
        )


if __name__ == "__main__":
    main()
