"""Measurement fidelity: does a latency stay the same while something else disturbs the machine?

    python -m benchmarks.fidelity [--quick] [--artefacts DIR…] [-o FILE]

Two experiments, both while another process loads one core at random:

1. One artefact is measured 20 times. The raw median (what a stopwatch says) is held against the corrected latency
   (ratio to the interleaved reference times the reference's median over all measurements).
2. Ten artefacts of growing size are measured in two rounds; the rank correlation between the rounds says whether the
   order of candidates can be believed.

The artefacts are transformer-like ONNX graphs made here, with neighbours about 12 % apart, unless others are given:
then the first is that of experiment 1, and all are those of experiment 2.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from benchmarks.artefacts import stack
from benchmarks.environment import environment
from tuner.hardware import this_host, usable_cores
from tuner.measure.client import Serving
from tuner.measure.performance import Performance, Plan, measure

#: Calls of about 10 ms, as of a small transformer: shorter ones slip between two turns of the neighbour.
_SEQUENCE, _WIDTH = 128, 768


@dataclass(frozen=True)
class Setting:
    """How much to measure: repeats of experiment 1, artefacts of experiment 2, seconds a measurement may take."""

    repeats: int = 20
    artefacts: int = 10
    precision: float = 0.03
    seconds: float = 8.0


QUICK = Setting(repeats=5, artefacts=4, seconds=1.0)


def _load_at_random(seed: int) -> None:
    """Compute on one core, drawn anew each time, and sleep, for random times: the neighbour on a shared machine."""
    chance = random.Random(seed)
    values, cores = np.random.default_rng(0).random(100_000), usable_cores()
    while True:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {chance.choice(cores)})
        end = time.monotonic() + chance.uniform(0.2, 4.0)
        while time.monotonic() < end:
            np.sin(values)  # a product of matrices would take all cores
        time.sleep(chance.uniform(0.2, 4.0))


@contextmanager
def disturbed(seed: int = 0) -> Iterator[None]:
    """Run the neighbour beside what is inside the context."""
    neighbour = multiprocessing.get_context("spawn").Process(
        target=_load_at_random, args=(seed,), daemon=True
    )
    neighbour.start()
    try:
        yield
    finally:
        neighbour.kill()
        neighbour.join()


def spread(values: list[float]) -> dict[str, float]:
    """Return median, interquartile range over median, and largest over smallest."""
    low, high = np.percentile(values, [25, 75])
    middle = statistics.median(values)
    return {
        "median": middle,
        "iqr_over_median": float(high - low) / middle,
        "max_over_min": max(values) / min(values),
    }


def corrected(found: list[Performance]) -> list[float]:
    """Return latencies in ms on the clock of all these measurements."""
    clock = statistics.median([one.reference_ms for one in found])
    return [one.ratio.value * clock for one in found]


def repeatability(artefact: Path, plan: Plan, reference: Serving, setting: Setting) -> dict[str, object]:
    """Experiment 1."""
    found = [_measured(artefact, plan, reference, setting) for _ in range(setting.repeats)]
    raw = [statistics.median(one.samples) for one in found]
    return {
        "raw": spread(raw),
        "corrected": spread(corrected(found)),
        "raw_ms": raw,
        "corrected_ms": corrected(found),
    }


def ranking(artefacts: Sequence[Path], plan: Plan, reference: Serving, setting: Setting) -> dict[str, object]:
    """Experiment 2."""
    rounds = [[_measured(a, plan, reference, setting) for a in artefacts] for _ in range(2)]
    raw = [[statistics.median(one.samples) for one in found] for found in rounds]
    ratios = [[one.ratio.value for one in found] for found in rounds]
    names = [artefact.name for artefact in artefacts]
    return {
        "artefacts": names,
        "raw": _rank(raw),
        "corrected": _rank(ratios),
        "raw_ms": raw,
        "ratios": ratios,
    }


def _growing(folder: Path, count: int) -> list[Path]:
    sizes = [round(4 * 1.12**i * 4) for i in range(count)]
    return [stack(folder / f"layers-{size}", layers=size, width=_WIDTH // 2) for size in sizes]


def _rank(rounds: list[list[float]]) -> float:
    return float(spearmanr(rounds[0], rounds[1]).statistic)


def _measured(artefact: Path, plan: Plan, reference: Serving, setting: Setting) -> Performance:
    cores = len(this_host().cores)
    return measure(artefact, cores, 1, reference, plan, precision=setting.precision, seconds=setting.seconds)


def run(setting: Setting, given: Sequence[Path] = ()) -> dict[str, object]:
    """Run both experiments, with one reference worker, beside the neighbour; on `given` artefacts if there are any."""
    host = this_host()
    ids = np.arange(_SEQUENCE, dtype=np.int64)[None, :] % 97 + 1
    plan = Plan({"input_ids.0": ids, "attention_mask.0": np.ones_like(ids)}, batch=1)
    with tempfile.TemporaryDirectory() as name, disturbed():
        folder = Path(name)
        base = stack(folder / "reference", layers=6, width=_WIDTH)
        one = given[0] if given else stack(folder / "same", layers=4, width=_WIDTH)
        several = given or _growing(folder, setting.artefacts)
        with Serving(base, len(host.cores), host.cores) as reference:
            first = repeatability(one, plan, reference, setting)
            second = ranking(several, plan, reference, setting)
    record = {"host": environment(), "setting": asdict(setting)}
    return {**record, "repeatability": first, "ranking": second}


def show(found: dict) -> None:  # type: ignore[type-arg]
    """Print the tables."""
    repeats, rank = found["repeatability"], found["ranking"]
    print(f"{found['host']['cpu']}, {len(found['host']['cores'])} cores, one of them loaded at random\n")
    print(f"one artefact, {len(repeats['raw_ms'])} times     IQR / median    largest / smallest")
    for name in ("raw", "corrected"):
        print(f"  {name:<22}{repeats[name]['iqr_over_median']:>14.1%}{repeats[name]['max_over_min']:>18.2f}x")
    print(f"\nrank correlation of {len(rank['artefacts'])} artefacts between two rounds (Spearman)")
    print(f"  raw {rank['raw']:.3f}    corrected {rank['corrected']:.3f}")


def main() -> None:
    """Parse, run, store, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a minute instead of ten")
    parser.add_argument("--artefacts", type=Path, nargs="+", default=[], metavar="DIR", help="two or more")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/fidelity.json"))
    asked = parser.parse_args()
    if len(asked.artefacts) == 1:
        parser.error("--artefacts: a rank correlation needs two or more")
    found = run(QUICK if asked.quick else Setting(), asked.artefacts)
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    asked.output.write_text(json.dumps(found, indent=1) + "\n")
    show(found)
    print(f"\nstored in {asked.output}")


if __name__ == "__main__":
    main()
