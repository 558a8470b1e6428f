"""Numbers with their spread, and the names under which every part of the project keeps them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Direction = Literal["maximize", "minimize"]

#: Every metric that a trial can carry, its unit and the better direction. A task adds its own quality metrics.
METRICS: dict[str, tuple[str, Direction]] = {
    "accuracy": ("fraction", "maximize"),
    "accuracy_drop": ("fraction", "minimize"),
    "f1_macro": ("fraction", "maximize"),
    "f1_macro_drop": ("fraction", "minimize"),
    "perplexity": ("", "minimize"),
    "perplexity_increase": ("fraction", "minimize"),
    "agreement": ("fraction", "maximize"),  # of greedy tokens with the baseline's
    "choice_accuracy": ("fraction", "maximize"),  # multiple choice by log-likelihood
    "choice_accuracy_drop": ("fraction", "minimize"),
    "latency_ms": ("ms", "minimize"),  # p50, drift-corrected; of a language model: of the whole response
    "latency_p90_ms": ("ms", "minimize"),
    "latency_p99_ms": ("ms", "minimize"),
    "speedup": ("x", "maximize"),  # ratio to the study's fp32 PyTorch eager baseline
    "throughput": ("samples/s", "maximize"),
    "ttft_ms": ("ms", "minimize"),  # time to first token, p50
    "ttft_p90_ms": ("ms", "minimize"),
    "ttft_p99_ms": ("ms", "minimize"),
    "tpot_ms": ("ms", "minimize"),  # time per output token after the first, p50
    "itl_p99_ms": ("ms", "minimize"),  # inter-token latency
    "acceptance_rate": ("fraction", "maximize"),  # of drafted tokens
    "tokens_per_s": ("tokens/s", "maximize"),  # of all clients together
    # Of the server scenario, from the scheduled arrival, waiting included; as measured, for a wait has no clock.
    "server_p50_ms": ("ms", "minimize"),
    "server_p90_ms": ("ms", "minimize"),
    "server_p99_ms": ("ms", "minimize"),
    "server_rate": ("requests/s", "maximize"),  # the largest at which the bound on the 99th percentile holds
    "cores": ("cores", "minimize"),  # that the replicas are pinned to, all together
    "memory_mb": ("MB", "minimize"),
    "size_mb": ("MB", "minimize"),
    "energy_j": ("J/request", "minimize"),
    "cost_per_million": ("per 10^6 requests", "minimize"),  # in the currency of the study's prices
    "cost_per_million_tokens": ("per 10^6 tokens", "minimize"),  # of answers
}

#: What each quality metric of a study loses against the baseline's, under which name; 0 is as good, less is better.
LOSS = {
    "accuracy": "accuracy_drop",
    "f1_macro": "f1_macro_drop",
    "choice_accuracy": "choice_accuracy_drop",
    "perplexity": "perplexity_increase",
}

#: The other way round: of which metric each loss speaks.
LOST = {loss: metric for metric, loss in LOSS.items()}

#: Metrics of what an artefact answers; all others are of a clock or a scale.
QUALITY = frozenset([*LOSS, *LOST, "agreement"])

#: What a host's price makes of its rates.
COSTS = ("cost_per_million", "cost_per_million_tokens")

#: Metrics of the server scenario, and those of a clock, which moves with the study's baseline: those that grow with
#: time, and those per second.
LOADED = ("server_p50_ms", "server_p90_ms", "server_p99_ms", "server_rate")
TIMES = (*(name for name, (unit, _) in METRICS.items() if unit == "ms" and name not in LOADED), *COSTS)
RATES = ("throughput", "tokens_per_s")


def is_share(name: str) -> bool:
    """Say whether a metric is a share of 1, which people read in per cent."""
    return METRICS[name][0] == "fraction"


#: From here on an end of an interval is open: the store keeps infinity as the largest number there is.
OPEN = 1e100


class Estimate(BaseModel):
    """A measured value with its 95 % interval; `low == high == value` where it has no spread (a file's size)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Estimate:
        """Return a value without spread."""
        return cls(value=value, low=value, high=value)

    def scaled(self, factor: float) -> Estimate:
        """Return the estimate times a positive factor."""
        return Estimate(value=self.value * factor, low=self.low * factor, high=self.high * factor)


Metrics = dict[str, Estimate | None]
