"""Two workers on one machine: is a study that mostly builds done sooner, and are its latencies those of one worker?

    python -m benchmarks.two_workers [-o FILE]

The same study, every candidate of a small space, is run by one `tuner worker` and by two, each time in a new home.
Builds share the machine; a measurement has it alone (the quiet lock), so the speedups that one worker finds and those
that two find should agree within their intervals.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.environment import environment
from tuner.store import Store, Trial

_STUDY = Path(__file__).parents[1] / "studies" / "first-steps.yaml"
#: Every candidate of the space, most of whose time goes into compiling C++.
_SETTINGS = (
    "axes.distillation.student_layers=[1, 2]",
    "axes.pruning.heads=[0.0]",
    "axes.pruning.ffn=[0.0, 0.5]",
    "axes.backend.engines=[torch, torch-compile]",
    "axes.quantization.bits=[32]",
    "axes.parallel.threads=[1]",
    "axes.parallel.replicas=[1]",
    "sampler=grid",
    "budget.trials=30",
    "measure.seconds=2",
)


def run(workers: int) -> tuple[float, list[Trial]]:
    """Return the seconds from the first worker's start to the study's end, and its trials."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "TUNER_HOME": home, "TUNER_QUIET": f"{home}/quiet"}
        env.pop("TUNER_DB", None)
        tuner = [sys.executable, "-m", "tuner.cli.main"]
        settings = [argument for setting in _SETTINGS for argument in ("--set", setting)]
        subprocess.run([*tuner, "submit", str(_STUDY), *settings], env=env, check=True, capture_output=True)
        begin = time.monotonic()
        command = [*tuner, "worker", "--drain", "--name"]
        with (Path(home) / "log").open("w") as log:
            running = [subprocess.Popen([*command, f"w{i}"], env=env, stderr=log) for i in range(workers)]
            codes = [process.wait() for process in running]
        took = time.monotonic() - begin
        assert codes == [0] * workers, (Path(home) / "log").read_text()[-4000:]
        with Store.open(f"sqlite:///{home}/tuner.db") as store:
            trials = store.trials(store.get_study("first-steps"), ("complete",))
    return took, trials


def compare(one: list[Trial], two: list[Trial]) -> dict[str, Any]:
    """Return how the latency ratios of the same candidates agree between two runs."""
    by_hash = {t.hash: t for t in two}
    pairs = [(a.ratio, by_hash[a.hash].ratio) for a in one if a.hash in by_hash]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    apart = [abs(math.log(b.value / a.value)) for a, b in known]
    overlap = sum(a.low <= b.high and b.low <= a.high for a, b in known)
    return {
        "candidates": len(known),
        "intervals_overlap": overlap,
        "median_difference": statistics.median(apart),
        "largest_difference": max(apart),
    }


def main() -> None:
    """Run the study with one worker and with two; print and store what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/two_workers.json"))
    given = parser.parse_args()
    runs = {name: run(workers) for name, workers in (("one", 1), ("two", 2))}
    for name, (seconds, trials) in runs.items():
        print(f"{name}: {seconds:.0f} s for {len(trials)} trials")
    found = {
        "host": environment(),
        "seconds": {name: seconds for name, (seconds, _) in runs.items()},
        "agreement": (agreed := compare(runs["one"][1], runs["two"][1])),
    }
    print(
        f"two against one: {agreed['intervals_overlap']} of {agreed['candidates']} intervals overlap, "
        f"median difference {agreed['median_difference']:.1%}, largest {agreed['largest_difference']:.1%}"
    )
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
