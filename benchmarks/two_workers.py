"""Two workers on one machine: is a study that mostly builds done sooner, and are its latencies those of one worker?

    python -m benchmarks.two_workers [--rounds N] [-o FILE]

The same study, every candidate of a small space, is run by one `tuner worker` and by two, by turns, each time in a new
home. Builds share the machine; a measurement has it alone (the quiet lock). Two runs of one worker differ, too, as the
machine drifts between them: two workers must not differ from one by more than one from itself. So the interval of a
candidate's latency ratio is stated with what one worker's runs scatter: within it, two workers must agree with one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environment import environment
from tuner.metrics import Estimate
from tuner.store import Store

_STUDY = Path(__file__).parents[1] / "studies" / "first-steps.yaml"
#: Every candidate of the space, most of whose time goes into tracing, converting and compiling.
_SETTINGS = (
    "axes.distillation.student_layers=[1, 2]",
    "axes.pruning.heads=[0.0]",
    "axes.pruning.ffn=[0.0, 0.5]",
    "axes.backend.engines=[torch, torch-compile]",
    "axes.backend.fixed_shape=[false]",
    "axes.quantization.bits=[32]",
    "axes.parallel.threads=[1]",
    "axes.parallel.replicas=[1]",
    "sampler=grid",
    "budget.trials=30",
    "measure.seconds=2",
)

Ratios = dict[str, Estimate]  # latency ratio to the baseline by the candidate's hash


@dataclass(frozen=True)
class Run:
    """One run of the study: wall seconds, core seconds of all its processes, and the ratios it found."""

    workers: int
    seconds: float
    core_seconds: float
    ratios: Ratios
    shares: tuple[int, ...]  # trials of each worker


def run(workers: int) -> Run:
    """Run the study from the first worker's start to its end."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "TUNER_HOME": home, "TUNER_QUIET": f"{home}/quiet"}
        env.pop("TUNER_DB", None)
        tuner = [sys.executable, "-m", "tuner.cli.main"]
        settings = [argument for setting in _SETTINGS for argument in ("--set", setting)]
        subprocess.run([*tuner, "submit", str(_STUDY), *settings], env=env, check=True, capture_output=True)
        begin, used = time.monotonic(), _core_seconds()
        command = [*tuner, "worker", "--drain", "--name"]
        with (Path(home) / "log").open("w") as log:
            running = [subprocess.Popen([*command, f"w{i}"], env=env, stderr=log) for i in range(workers)]
            codes = [process.wait() for process in running]
        took, used = time.monotonic() - begin, _core_seconds() - used
        assert codes == [0] * workers, (Path(home) / "log").read_text()[-4000:]
        with Store.open(f"sqlite:///{home}/tuner.db") as store:
            trials = store.trials(store.get_study("first-steps"), ("complete",))
    shares = [sum(t.worker == f"w{i}" for t in trials) for i in range(workers)]
    return Run(workers, took, used, {t.hash: t.ratio for t in trials if t.ratio}, tuple(shares))


def _core_seconds() -> float:
    """Return what all children that have ended used of the cores."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def apart(one: Ratios, other: Ratios) -> list[float]:
    """Return how far the ratios of the same candidates are apart, as shares."""
    return [abs(math.log(other[h].value / one[h].value)) for h in one if h in other]


def scatter(runs: Sequence[Run]) -> float:
    """Return the standard deviation, as a share, with which runs of one worker repeat a candidate's ratio."""
    spread = [
        statistics.variance([math.log(r.ratios[h].value) for r in runs])
        for h in runs[0].ratios
        if all(h in r.ratios for r in runs)
    ]
    return math.sqrt(statistics.fmean(spread))


def within(one: Sequence[Run], two: Sequence[Run]) -> dict[str, Any]:
    """Return how many of two workers' medians lie in the interval that one worker's runs state.

    The interval: mean of one worker's log ratios, plus or minus two standard errors of a difference of means.
    """
    sigma = scatter(one)
    half = 2 * sigma * math.sqrt(1 / len(one) + 1 / len(two))
    found = [h for h in one[0].ratios if all(h in r.ratios for r in (*one, *two))]
    gaps = [abs(_mean(two, h) - _mean(one, h)) for h in found]
    return {
        "half_width": half,
        "candidates": len(found),
        "within": sum(gap <= half for gap in gaps),
        "gaps": gaps,
    }


def _mean(runs: Iterable[Run], found: str) -> float:
    return statistics.fmean(math.log(r.ratios[found].value) for r in runs)


def pairs(first: Sequence[Run], second: Sequence[Run] | None = None) -> dict[str, float]:
    """Return median and largest difference over all pairs of runs: of one kind, or of one kind and another."""
    chosen = itertools.combinations(first, 2) if second is None else itertools.product(first, second)
    gaps = [gap for a, b in chosen for gap in apart(a.ratios, b.ratios)]
    return {"median": statistics.median(gaps), "largest": max(gaps)}


def main() -> None:
    """Run the study by turns with one worker and with two; print and store what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs with one worker, and as many with two")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/two_workers.json"))
    given = parser.parse_args()
    done: list[Run] = []
    for i in range(given.rounds):
        for workers in (1, 2) if i % 2 == 0 else (2, 1):
            done.append(found := run(workers))
            cores = found.core_seconds / found.seconds
            print(
                f"{workers}: {found.seconds:.0f} s, {cores:.2f} cores busy, {found.shares} trials", flush=True
            )
    _report([r for r in done if r.workers == 1], [r for r in done if r.workers == 2], given.output)


def _report(one: list[Run], two: list[Run], output: Path) -> None:
    speedups = [a.seconds / b.seconds for a, b in zip(one, two, strict=True)]
    agreed, itself, other = within(one, two), pairs(one), pairs(one, two)
    print(
        f"two workers are {statistics.median(speedups):.2f}x as fast ({min(speedups):.2f} to {max(speedups):.2f})"
    )
    print(
        f"latency ratios, one against itself: median {itself['median']:.1%}, largest {itself['largest']:.1%}"
    )
    print(f"two against one: median {other['median']:.1%}, largest {other['largest']:.1%}")
    print(f"{agreed['within']} of {agreed['candidates']} within +-{agreed['half_width']:.1%} of one worker's")
    found = {
        "host": environment(),
        "seconds": {"one": [r.seconds for r in one], "two": [r.seconds for r in two]},
        "core_seconds": {"one": [r.core_seconds for r in one], "two": [r.core_seconds for r in two]},
        "speedup": speedups,
        "one_against_itself": itself,
        "two_against_one": other,
        "agreement": agreed,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
