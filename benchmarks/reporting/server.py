"""The server scenario's table: what each way to run one artefact carries, and what it makes of 90 % of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.reporting.markdown import table, where
from tuner.spec.wording import demand_text

_HEAD = [
    "threads x replicas",
    "alone, p50",
    "largest rate",
    "p99 there",
    "probes",
    "at {:.0%} of it",
    "p99 there",
    "late",
]


def server(found: Mapping[str, Any]) -> str:
    """Return one row for each way to run the artefact."""
    head = [name.format(found["share"]) for name in _HEAD]
    asked = f"{demand_text(found['scenario'])}, {found['scenario']['sequence_length']} tokens."
    rows = [_row(run) for run in found["runs"]]
    return f"{table(head, rows)}\n\nAsked for {asked} {where(found['host'], found['when'])}"


def carries(run: Mapping[str, Any]) -> bool:
    """Say whether a way held the bound at any rate; the rate of one that did not is the least that was tried."""
    return bool(run["rate"]["low"] > 0)


def _row(run: Mapping[str, Any]) -> list[str]:
    way, rate = run["parallel"], run["rate"]
    name = f"{way['threads']}x{way['replicas']}"
    name += f", up to {way['max_batch']} together" if way.get("max_batch", 1) > 1 else ""
    confirmed = run["confirmed"]
    late, answers = sum(one["late"] for one in confirmed), sum(one["answers"] for one in confirmed)
    return [
        name,
        f"{run['latency_ms']['value']:.1f} ms",
        f"{rate['value']:.0f}/s ({rate['low']:.0f} to {rate['high']:.0f})"
        if carries(run)
        else f"none from {rate['value']:.0f}/s up",
        _ms(run["p99_ms"]),
        str(len(run["probes"])),
        f"{confirmed[0]['rate']:.0f}/s" if confirmed else "–",
        "; ".join(_ms(one["p99_ms"]) for one in confirmed) or "–",
        f"{late} of {answers}",
    ]


def _ms(one: Mapping[str, float] | None) -> str:
    if one is None:
        return "–"
    if one["high"] > 1e6:
        return f"over {one['value']:.0f} ms"
    return f"{one['value']:.1f} ms ({one['low']:.1f} to {one['high']:.1f})"
