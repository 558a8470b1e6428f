"""The comparison as JSON, as a table, and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.contest import Contestant
from benchmarks.peers.measuring import Measured, Run
from benchmarks.peers.ours import NAME
from benchmarks.peers.summary import TOLERANCE, fastest, verdict, volume


def by_peer(run: Run) -> dict[str, list[Measured]]:
    """Return what was measured of each contestant, the reference aside."""
    found: dict[str, list[Measured]] = {}
    for one in run.measured[1:]:
        found.setdefault(one.subject.peer, []).append(one)
    return found


def to_json(
    contestants: Sequence[Contestant], run: Run, failures: Mapping[str, list[dict[str, str]]]
) -> dict[str, Any]:
    """Return everything as plain data."""
    found = by_peer(run)
    return {
        "reference": {**_figures(run.baseline), "reference_ms": run.reference_ms},
        "peers": {
            c.name: _peer(c, found.get(c.name, []), run, failures.get(c.name, [])) for c in contestants
        },
        "verdict": verdict(found, NAME),
    }


def _peer(
    contestant: Contestant, found: list[Measured], run: Run, failures: list[dict[str, str]]
) -> dict[str, Any]:
    best = fastest(found)
    broken = [{"label": s.label, "error": e} for s, e in run.broken if s.peer == contestant.name]
    return {
        **contestant.outcome.to_json(),
        "install_seconds": contestant.install_seconds,
        "configuration_lines": contestant.lines,
        "versions": contestant.versions,
        "hypervolume": volume(found),
        "fastest_within_tolerance": best.subject.label if best else None,
        "artefacts": [_figures(one) for one in found],
        "failures": [*failures, *broken],
    }


def _figures(one: Measured) -> dict[str, Any]:
    return {
        "label": one.subject.label,
        "threads": one.subject.threads,
        "replicas": one.subject.replicas,
        "accuracy": one.quality.accuracy.model_dump(),
        "accuracy_drop": one.quality.drop.model_dump(),
        "ratio": one.ratio.model_dump(),
        "speedup": one.speedup.model_dump(),
        "latency_ms": one.latency_ms.model_dump(),
        "own": dict(one.subject.own),
    }


def show(found: Mapping[str, Any]) -> None:
    """Print what every contestant reached, each of its artefacts, and the verdict."""
    base = found["reference"]
    print(f"\n{'':<34}{'accuracy on test':>18}{'drop, points':>18}{'latency':>12}{'speedup':>20}")
    _row("fp32 PyTorch eager, once more (A/A)", base)
    for name, peer in found["peers"].items():
        installed = (
            "" if peer["install_seconds"] is None else f", installed in {peer['install_seconds']:.0f} s"
        )
        print(f"{name}: {peer['status']} after {peer['seconds']:.0f} s{installed}", end="")
        print(f", {peer['configuration_lines']} lines, hypervolume {peer['hypervolume']:.3f}")
        if peer["error"]:
            print(f"  {peer['error']}")
        for one in sorted(peer["artefacts"], key=lambda one: one["latency_ms"]["value"]):
            _row(f"{'* ' if one['label'] == peer['fastest_within_tolerance'] else '  '}{one['label']}", one)
        for one in peer["failures"]:
            print(f"  {one['label']}: {one['error'][:120]}")
    print(f"\n* fastest that loses at most {TOLERANCE:.0%} of accuracy")
    if verdict := found["verdict"]:
        times = verdict["times_faster"]
        print(
            f"ours is {times['value']:.2f}x ({times['low']:.2f} to {times['high']:.2f}) as fast as the best peer's: "
            f"{verdict['best_peer']}, {verdict['best_peer_artefact']}"
        )


def _row(label: str, one: Mapping[str, Any]) -> None:
    accuracy, drop, speed = one["accuracy"], one["accuracy_drop"], one["speedup"]
    half = (accuracy["high"] - accuracy["low"]) / 2
    print(
        f"{label[:40]:<40}{accuracy['value']:>6.1%} ±{half:.1%}"
        f"{drop['value'] * 100:>7.1f} ({drop['low'] * 100:.1f} to {drop['high'] * 100:.1f})"
        f"{one['latency_ms']['value']:>9.2f} ms{speed['value']:>8.2f}x ({speed['low']:.2f} to {speed['high']:.2f})"
    )


def draw(found: Mapping[str, Any], file: Path) -> None:
    """Draw accuracy against latency, a colour a contestant."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    base = found["reference"]
    axes.scatter(
        base["latency_ms"]["value"], base["accuracy"]["value"], c="black", marker="s", label="fp32 eager"
    )
    for name, peer in found["peers"].items():
        points = [(one["latency_ms"]["value"], one["accuracy"]["value"]) for one in peer["artefacts"]]
        size, order = (70, 3) if name == NAME else (35, 2)
        marker = "*" if name == NAME else "o"
        if points:
            axes.scatter(*zip(*points, strict=True), s=size, zorder=order, marker=marker, label=name)
    axes.axhline(base["accuracy"]["value"] - TOLERANCE, color="grey", linewidth=0.6, linestyle=":")
    axes.set(xscale="log", xlabel="latency, ms (one document)", ylabel="accuracy on the test split")
    axes.legend(fontsize="small")
    figure.savefig(file, dpi=120)
    plt.close(figure)
