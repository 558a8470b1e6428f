"""The chat study's tables: its points beside each engine's own 4 bits, and `tuner serve` under load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.reporting.markdown import table, where

_HEAD = [
    "",
    "perplexity",
    "same greedy tokens",
    "first token",
    "a token",
    "response",
    "speedup",
    "of bandwidth",
]


def chat(found: Mapping[str, Any]) -> str:
    """Return one row a contestant, the fastest first."""
    runs = sorted(found["runs"], key=lambda run: run["metrics"]["latency_ms"]["value"])
    spec = found["spec"]["scenario"]
    asked = (
        f"Prompt {spec['prompt_tokens']} tokens, {spec['new_tokens']} new ones, all interleaved in one run."
    )
    return f"{table(_HEAD, [_row(run) for run in runs])}\n\n{asked} {where(found['host'], found['when'])}"


def _row(run: Mapping[str, Any]) -> list[str]:
    metrics = run["metrics"]
    name = f"**tuner, {run['name']}**" if run["by"] == "tuner" else f"{run['by']}, {run['name']}"
    share = run.get("share_of_bandwidth")
    return [
        f"{name}: `{run['label']}`",
        _percent(metrics["perplexity_increase"], sign=True),
        _percent(metrics["agreement"]),
        _value(metrics["ttft_ms"], "ms"),
        _value(metrics["tpot_ms"], "ms", 1),
        _value(metrics["latency_ms"], "ms"),
        _spread(metrics["speedup"]),
        "–" if share is None else f"{share:.0%}",
    ]


def _value(one: Mapping[str, float] | None, unit: str, digits: int = 0) -> str:
    return "–" if one is None else f"{one['value']:.{digits}f} {unit}"


def _percent(one: Mapping[str, float] | None, sign: bool = False) -> str:
    if one is None:
        return "–"
    form = "+.1f" if sign else ".0f"
    low, value, high = (format(100 * one[name], form) for name in ("low", "value", "high"))
    return f"{value} % ({low} to {high})"


def _spread(one: Mapping[str, float]) -> str:
    return f"{one['value']:.1f}x ({one['low']:.1f} to {one['high']:.1f})"


def chat_load(found: Mapping[str, Any]) -> str:
    """Return what clients without a pause met."""
    memory, response, first = found["memory_mb"], found["response_ms"], found["ttft_ms"]
    return (
        f"{found['clients']} clients for {found['seconds']:.0f} s on {found['replicas']} session(s): {found['answers']} "
        f"answers, {len(found['errors'])} errors, {found['tokens_per_s']:.0f} tokens a second together; first token "
        f"{first['p50'] / 1e3:.1f} s (p90 {first['p90'] / 1e3:.1f} s), whole answer {response['p50'] / 1e3:.1f} s "
        f"(p90 {response['p90'] / 1e3:.1f} s); memory {memory['start']:.0f} MB before, {memory['half']:.0f} MB half way, "
        f"{memory['end']:.0f} MB at the end.\n\n{where(found['host'], found['when'])}"
    )
