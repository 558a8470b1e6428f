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
    "latency_ms": ("ms", "minimize"),  # p50, drift-corrected
    "latency_p90_ms": ("ms", "minimize"),
    "latency_p99_ms": ("ms", "minimize"),
    "speedup": ("x", "maximize"),  # ratio to the study's fp32 PyTorch eager baseline
    "throughput": ("samples/s", "maximize"),
    "memory_mb": ("MB", "minimize"),
    "size_mb": ("MB", "minimize"),
    "energy_j": ("J/request", "minimize"),
}


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
