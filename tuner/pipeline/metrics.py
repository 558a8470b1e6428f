"""From what a stage measured to the metrics of a trial, on the study's own clock.

Machines drift; a ratio to a reference measured in the same seconds does not. So a latency is the ratio to the
baseline times the baseline's median over the whole study (Bulej et al. 2020, "Duet Benchmarking").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.metrics import RATES, TIMES, Estimate, Metrics


def trial_metrics(performance: Mapping[str, Any], quality: Metrics, baseline_ms: float) -> Metrics:
    """Return all metrics of a trial. `performance` is `Performance.to_json()`, times in milliseconds."""
    ratio = Estimate(**performance["ratio"])
    drift = baseline_ms / performance["reference_ms"]
    return {
        **quality,
        "latency_ms": ratio.scaled(baseline_ms),
        "latency_p90_ms": _scaled(performance["p90_ms"], drift),
        "latency_p99_ms": _scaled(performance["p99_ms"], drift),
        "speedup": Estimate(value=1 / ratio.value, low=1 / ratio.high, high=1 / ratio.low),
        "throughput": _scaled(performance["throughput"], 1 / drift),
        "memory_mb": _exact(performance["memory_mb"]),
        "size_mb": _exact(performance["size_mb"]),
        "cores": _exact(performance.get("cores")),
        **_loaded(performance.get("server")),
        "energy_j": _scaled(performance["energy_j"], 1.0),
        **_token_metrics(performance.get("details") or {}, drift),
    }


def _loaded(server: Mapping[str, Any] | None) -> Metrics:
    """Return what was measured under load, as it was measured: what waits has no clock of the study's."""
    return {name: _scaled(raw, 1.0) for name, raw in (server or {}).get("metrics", {}).items()}


def _token_metrics(details: Mapping[str, Any], drift: float) -> Metrics:
    """Return what is known of a language model's responses on the study's clock; rates go the other way."""
    factors = {**dict.fromkeys(RATES, 1 / drift), "acceptance_rate": 1.0}
    return {name: _scaled(raw, factors.get(name, drift)) for name, raw in details.items()}


def on_clock(metrics: Metrics, ratio: Estimate | None, baseline_ms: float | None) -> Metrics:
    """Return stored metrics on the clock of a baseline median that has moved since they were stored."""
    latency = metrics.get("latency_ms")
    if latency is None or ratio is None or not baseline_ms:
        return metrics
    drift = ratio.value * baseline_ms / latency.value
    moved = {name: _rescaled(metrics.get(name), drift) for name in TIMES if name in metrics}
    rates = {name: _rescaled(metrics[name], 1 / drift) for name in RATES if name in metrics}
    return {**metrics, **moved, **rates}


def _rescaled(estimate: Estimate | None, factor: float) -> Estimate | None:
    return None if estimate is None else estimate.scaled(factor)


def _scaled(raw: Mapping[str, float] | float | None, factor: float) -> Estimate | None:
    if raw is None:
        return None
    estimate = Estimate(**raw) if isinstance(raw, Mapping) else Estimate.exact(raw)
    return estimate.scaled(factor)


def _exact(value: float | None) -> Estimate | None:
    return None if value is None else Estimate.exact(value)
