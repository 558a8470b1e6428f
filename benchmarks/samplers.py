"""Samplers on a recorded table: which finds the table's best front in how many seconds?

    python -m benchmarks.samplers [TABLE.parquet …] [--seeds 30] [--minutes 30] [--only NAME …] [--jobs 1] [-o FOLDER]

Each study is replayed in virtual time: what a stage cost when it was recorded is paid the first time that the study
needs it. Reported is the hypervolume as a share of the table's, against the seconds spent; its reference point is the
baseline's latency, on a logarithmic scale, and a quality by a margin below the baseline's: twice what the constraint
lets be lost, or ten points. Two goals: with the study's constraints, and without any (the whole front). Optuna's
samplers start without our seeds, as a user would have them; `--seeded` gives them to all. GP sees the space flat, one
number for each number format: Optuna's knows no conditions. `--redrawn` replays each seed on the table as another day
might have recorded it: latencies drawn within their intervals, documents drawn anew.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.environment import environment
from tuner.replay.aware import Auto, replay_aware
from tuner.replay.noise import redrawn
from tuner.replay.study import Budget, replay
from tuner.replay.table import Table, read
from tuner.replay.trace import Trace, Yardstick, at, time_to
from tuner.search.aware.history import Seen
from tuner.search.aware.options import Options

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

TABLES = Path(__file__).parent / "tables"
_ANOTHER_DAY = 1000  # added to a seed
_STEP = 15.0  # seconds between two shares that are noted
_ALL = 0.95  # a share with which a study has found the front: it is not replayed further
ALL = Options()
AUTO = "budget: auto"  # ours until it ends by itself
WARM = "warm start"  # ours after another study of the same model, on the table of another day
_EARLIER = 600.0  # virtual seconds that the other study had
#: Ours, and ours with each of its parts switched the other way.
OURS = {
    "stage-aware": ALL,
    "without cost": replace(ALL, by_cost=0.0),
    "gain per second": replace(ALL, by_cost=1.0),
    "with gate": replace(ALL, gate=True),
    "with subsets": replace(ALL, subsets=True),
    "seeds first": replace(ALL, first=20),
    AUTO: ALL,
    WARM: ALL,
}
THEIRS = ("random", "nsga2", "tpe", "tpe-grouped", "gp")


def study(table: Table, name: str, seed: int, budget: Budget, seeded: bool) -> Trace:
    """Return one replayed study."""
    if name == WARM:
        return replay_aware(table, seed, budget, ALL, earlier=_earlier(table, seed))
    if name == AUTO:
        return replay_aware(table, seed, Budget(budget.seconds), ALL, auto=Auto())
    if name in OURS:
        return replay_aware(table, seed, budget, OURS[name])
    if name == "gp":
        return replay(table, _gp, seed, budget, seeded, flat=True)
    return replay(table, name, seed, budget, seeded)


def _earlier(table: Table, seed: int) -> list[Seen]:
    """Return what a study measured on the same table with other noise."""
    other = redrawn(table, _ANOTHER_DAY + seed)
    trace = replay_aware(other, seed, Budget(_EARLIER))
    against = other.baseline.metrics
    return [
        Seen(s.candidate, "complete", s.metrics, against=against)
        for s in trace.steps
        if s.state == "complete"
    ]


def _gp(seed: int) -> BaseSampler:
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed, n_startup_trials=10, deterministic_objective=True)


def measured(table: Table, name: str, budget: Budget, seeded: bool, noise: bool, seed: int) -> dict[str, Any]:
    """Return the curve of one study, and the real seconds that replaying it took."""
    warnings.simplefilter("ignore")
    table = redrawn(table, seed) if noise else table
    begin = time.process_time()
    yardstick = Yardstick(table)
    share_after = yardstick.follower()
    enough = replace(budget, enough=lambda step: share_after(step) >= _ALL)
    trace = study(table, name, seed, enough, seeded)
    took = time.process_time() - begin
    curve = yardstick.curve(trace)
    pruned = sum(step.state == "pruned" for step in trace.steps)
    return {"curve": curve, "spent": trace.spent, "steps": len(trace.steps), "pruned": pruned, "real_s": took}


def summary(found: Sequence[dict[str, Any]], minutes: float) -> dict[str, Any]:
    """Return median and 10-90 % band of the share over time, and of the time to 95 %; None: not reached."""
    grid = [_STEP * i for i in range(1, int(60 * minutes / _STEP) + 1)]
    shares = np.array([at(one["curve"], grid) for one in found])
    times = [time_to(one["curve"], 0.95) for one in found]
    low, middle, high = np.percentile(shares, [10, 50, 90], axis=0).round(5).tolist()
    return {
        "seconds": grid,
        "share": {"p10": low, "median": middle, "p90": high},
        "to_95": {name: _finite(q, times) for name, q in (("p10", 0.1), ("median", 0.5), ("p90", 0.9))},
        "reached_95": sum(math.isfinite(t) for t in times) / len(times),
        "steps": statistics.median(one["steps"] for one in found),
        "pruned": statistics.median(one["pruned"] for one in found),
        "spent": round(statistics.median(one["spent"] for one in found), 1),
        "end_share": round(statistics.median(one["curve"][-1][1] for one in found), 4),
        "real_s": round(statistics.median(one["real_s"] for one in found), 3),
    }


def _finite(q: float, times: Sequence[float]) -> float | None:
    """Return a quantile of times some of which are infinite: an order statistic, for those cannot be averaged."""
    found = sorted(times)[min(math.ceil(q * len(times)) - 1, len(times) - 1) if q else 0]
    return round(found, 1) if math.isfinite(found) else None


def compare(
    table: Table, names: Sequence[str], seeds: int, minutes: float, jobs: int, **how: Any
) -> dict[str, Any]:
    """Return the summaries of samplers on one table and goal."""
    found, gp_trials = {}, how.pop("gp_trials")
    for name in names:
        trials = gp_trials if name == "gp" else 10_000
        one = partial(measured, table, name, Budget(60 * minutes, trials), how["seeded"], how["redrawn"])
        found[name] = summary(_mapped(one, range(seeds), jobs), minutes)
        _show(name, found[name])
    return found


def _mapped(one: Callable[[int], dict[str, Any]], seeds: Sequence[int], jobs: int) -> list[dict[str, Any]]:
    if jobs == 1:
        return [one(seed) for seed in seeds]
    with get_context("spawn").Pool(jobs) as pool:
        return pool.map(one, seeds)


def goals(table: Table) -> dict[str, Table]:
    """Return the table with the study's own constraints, and with none."""
    free = {**table.meta, "spec": {**table.meta["spec"], "constraints": []}}
    own = {"constraints": table} if table.spec.constraints else {}
    return {**own, "whole front": replace(table, meta=free)}


def draw(found: dict[str, Any], title: str, file: Path) -> None:
    """Draw the medians with their bands."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name, one in found.items():
        if name in (AUTO, WARM) or (name in OURS and OURS[name] != ALL):
            continue
        minutes, share = np.array(one["seconds"]) / 60, one["share"]
        (line,) = axes.plot(minutes, share["median"], label=name, linewidth=2.5 if name in OURS else 1.2)
        axes.fill_between(minutes, share["p10"], share["p90"], color=line.get_color(), alpha=0.12)
    axes.axhline(0.95, color="grey", linewidth=0.6, linestyle=":")
    axes.set(xlabel="minutes spent (virtual)", ylabel="share of the table's best hypervolume", title=title)
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower right")
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _show(name: str, one: dict[str, Any]) -> None:
    to = one["to_95"]
    times = "  ".join(
        f"{'never' if to[q] is None else f'{to[q]:.0f} s':>8}" for q in ("median", "p10", "p90")
    )
    print(
        f"  {name:<18}{times}{one['reached_95']:>7.0%}{one['steps']:>7.0f}{one['real_s']:>8.2f} s", flush=True
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Replay, store, draw, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="*", default=sorted(TABLES.glob("*.parquet")))
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=30.0, help="virtual, of each study at most")
    parser.add_argument("--only", nargs="+", choices=[*OURS, *THEIRS], default=[*OURS, *THEIRS])
    parser.add_argument(
        "--gp-trials", type=int, default=60, help="GP thinks for seconds: it gets so many at most"
    )
    parser.add_argument("--seeded", action="store_true", help="our seeds for all samplers")
    parser.add_argument("--redrawn", action="store_true", help="each seed on a table with noise of its own")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results"))
    asked = parser.parse_args(arguments)
    asked.output.mkdir(parents=True, exist_ok=True)
    for path in asked.tables:
        _one(path, asked)


def _one(path: Path, asked: argparse.Namespace) -> None:
    table, stored = read(path), {}
    stem = f"{path.stem}-redrawn" if asked.redrawn else path.stem
    how = {"seeded": asked.seeded, "redrawn": asked.redrawn, "gp_trials": asked.gp_trials}
    settings = {**how, "seeds": asked.seeds, "minutes": asked.minutes}
    target = asked.output / f"samplers-{stem}.json"
    before = _before(target, settings)
    for goal, own in goals(table).items():
        size = own.space.size()
        print(f"{path.stem}, {goal}: {size} candidates, {asked.seeds} seeds; seconds to 95 %", flush=True)
        print(f"  {'':<18}{'median':>8}  {'p10':>8}  {'p90':>8}{'got':>7}{'trials':>7}{'real':>10}")
        yard = Yardstick(own)
        found = compare(own, asked.only, asked.seeds, asked.minutes, asked.jobs, **how)
        known = before.get(goal, {}) | found
        found = {name: known[name] for name in [*OURS, *THEIRS] if name in known}
        stored[goal] = {"candidates": size, "box": yard.box(), "samplers": found}
        title = f"{path.stem}, {goal}: {size} candidates, {asked.seeds} seeds"
        draw(found, title, asked.output / f"samplers-{stem}-{goal.replace(' ', '-')}.png")
    whole = {"host": environment(), "recorded": table.meta["host"], "settings": settings, "goals": stored}
    target.write_text(json.dumps(whole) + "\n")
    print(f"stored in {target}")


def _before(target: Path, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return by goal what is stored of other samplers under the same settings: virtual seconds are those of any day."""
    stored = json.loads(target.read_text()) if target.exists() else {"settings": None}
    if stored["settings"] != settings:
        return {}
    return {goal: one["samplers"] for goal, one in stored["goals"].items()}


if __name__ == "__main__":
    main()
