"""From what a stage measured to the metrics of a trial, on the study's own clock.

Machines drift; a ratio to a reference measured in the same seconds does not. So a latency is the ratio to the
baseline times the baseline's median over the whole study (Bulej et al. 2020, "Duet Benchmarking").
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tuner.metrics import RATES, TIMES, Estimate, Metrics

#: The rate that is paid for, the first that was measured: what a server held, else what was answered at full load.
_PAID = ("server_rate", "throughput")


def trial_metrics(
    performance: Mapping[str, Any], quality: Metrics, baseline_ms: float, price: float | None = None
) -> Metrics:
    """Return all metrics of a trial. `performance` is `Performance.to_json()`, times in milliseconds.

    `price` is what the host that measured costs in an hour, None where nobody said: then nothing is known of costs.
    """
    found = _measured(performance, quality, baseline_ms)
    return found if price is None else {**found, **costs(found, price)}


def costs(metrics: Metrics, price: float) -> Metrics:
    """Return what a million requests, and a million tokens of answers, cost on a host of this price in an hour.

    The host is paid for as a whole, however many of its cores a candidate uses: it is rented as a whole.
    """
    paid = next((rate for name in _PAID if (rate := metrics.get(name)) is not None and rate.value > 0), None)
    if paid is None:
        return {}
    found: Metrics = {"cost_per_million": _per_million(price, paid)}
    tokens, requests = metrics.get("tokens_per_s"), metrics.get("throughput")
    if tokens is not None and requests is not None and tokens.value > 0:
        each = tokens.value / requests.value  # tokens that one request is answered with
        found["cost_per_million_tokens"] = _per_million(price, paid.scaled(each))
    return found


def _per_million(price: float, rate: Estimate) -> Estimate:
    """Return the cost of a million at a rate in a second; dearest at the rate's lower end."""
    million = price / 3600 * 1e6
    value, low, high = (million / r if r > 0 else math.inf for r in (rate.value, rate.high, rate.low))
    return Estimate(value=value, low=low, high=high)


def _measured(performance: Mapping[str, Any], quality: Metrics, baseline_ms: float) -> Metrics:
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
