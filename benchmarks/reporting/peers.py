"""The peers' tables: what each reached on one model in one run, measured by one protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.reporting.markdown import clock, table, where

_TITLES = {
    "tuner": "**tuner**",
    "openvino_nncf": "OpenVINO with NNCF",
    "onnx_runtime": "ONNX Runtime int8",
    "microsoft_olive": "Microsoft Olive",
    "torch_compile": "torch.compile, AOTInductor (bf16)",
    "optimum_intel": "Optimum Intel",
    "optimum_onnx": "Optimum ONNX",
}


def peers(found: Mapping[str, Any]) -> str:
    """Return the whole table: one line a contestant, the best first, and what came of those that failed."""
    head = ["", "fastest within 1 point", "accuracy lost", "latency", "speedup", "hypervolume", "wall time"]
    rows = [_row(name, one) for name, one in _ordered(found)]
    base = found["reference"]
    first = (
        f"Speedups are against fp32 PyTorch eager on all cores ({base['reference_ms']:.1f} ms, accuracy "
        f"{base['accuracy']['value']:.1%} on test); that model against itself, measured as one more artefact: "
        f"{base['speedup']['value']:.2f}x. Accuracy lost in points, on the same documents, with its 95 % interval."
    )
    parts = [
        first,
        table([*head, "lines written"], rows),
        peers_verdict(found),
        *_failed(found),
        where(found["host"]),
    ]
    return "\n\n".join(part for part in parts if part)


def peers_short(found: Mapping[str, Any]) -> str:
    """Return the table of the front page: who, how fast, what it lost."""
    rows = [[_title(name), *_best(one)[1:4]] for name, one in _ordered(found)]
    return f"{table(['', 'accuracy lost, points', 'latency', 'speedup'], rows)}\n\n{peers_verdict(found)}"


def _ordered(found: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the contestants, the fastest within the tolerance first, those without such a point last."""

    def latency(item: tuple[str, Mapping[str, Any]]) -> float:
        best = _fastest(item[1])
        return float("inf") if best is None else float(best["latency_ms"]["value"])

    return sorted(found["peers"].items(), key=latency)


def _fastest(one: Mapping[str, Any]) -> Mapping[str, Any] | None:
    label = one["fastest_within_tolerance"]
    return next((a for a in one["artefacts"] if a["label"] == label), None)


def _best(one: Mapping[str, Any]) -> list[str]:
    best = _fastest(one)
    if best is None:
        return ["–"] * 4
    drop, speed = best["accuracy_drop"], best["speedup"]
    lost = f"{100 * drop['value']:.1f} ({100 * drop['low']:.1f} to {100 * drop['high']:.1f})"
    times = f"{speed['value']:.1f}x ({speed['low']:.1f} to {speed['high']:.1f})"
    return [best["label"], lost, f"{best['latency_ms']['value']:.2f} ms", times]


def _row(name: str, one: Mapping[str, Any]) -> list[str]:
    rest = [f"{one['hypervolume']:.3f}", clock(one["seconds"]), str(one["configuration_lines"])]
    return [_title(name), *_best(one), *rest]


def _title(name: str) -> str:
    return _TITLES.get(name, name)


def peers_verdict(found: Mapping[str, Any]) -> str:
    """Return the one sentence that says how ours compares; nothing where there is no peer to compare with."""
    verdict = found["verdict"]
    if verdict is None:
        return ""
    times = verdict["times_faster"]
    return (
        f"Our fastest point within one point of accuracy is **{times['value']:.1f} times** ({times['low']:.1f} to "
        f"{times['high']:.1f}) as fast as the best peer's ({_title(verdict['best_peer'])}, "
        f"{verdict['best_peer_artefact']})."
    )


def _failed(found: Mapping[str, Any]) -> list[str]:
    """Return one list item for whatever failed, with its error."""
    items = []
    for name, one in found["peers"].items():
        if one["status"] != "done":
            items.append(f"- {_title(name)}: {one['status']}: {one['error']}")
        items += [f"- {_title(name)}, {part['label']}: {part['error'][:160]}" for part in one["failures"]]
    return ["\n".join(items)] if items else []
