"""Wording: which metrics a study is told in, and short words for metrics and number formats, one for all screens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuner.metrics import COSTS, LOSS, METRICS, is_share

_CLASSIFIES = ("accuracy", "accuracy_drop", "latency_ms", "speedup", "throughput", "memory_mb", "size_mb")
_GENERATES = ("perplexity", "perplexity_increase", "agreement", "latency_ms", "speedup", "ttft_ms", "tpot_ms",
              "tokens_per_s", "memory_mb", "size_mb")  # fmt: skip

#: Number formats in the order in which they are listed: the widest first.
FORMATS = ("fp32", "tf32", "16 bit", "fp16", "int8", "fp8", "int4", "int3", "int2")
_SCHEMES_ARE_FORMATS = ("tf32", "fp16", "fp8")


def format_name(bits: int, scheme: str) -> str:
    """Return a number format's name, one of FORMATS: formats of the same width (fp32 and tf32) have different ones."""
    if scheme in _SCHEMES_ARE_FORMATS:
        return scheme
    return {32: "fp32", 16: "16 bit"}.get(bits, f"int{bits}")


def format_text(bits: int, scheme: str) -> str:
    """Return a number format with how its ranges are found: `fp32`, `tf32`, `int8 dynamic`, `int4 weight-only`."""
    name = format_name(bits, scheme)
    return name if scheme in ("none", name) else f"{name} {scheme}"


def divided_text(tensor: int, pipeline: int) -> str:
    """Return among how many processes a model is divided, after its threads: `, tensor parallel in 2`, or nothing."""
    ways = {"tensor": tensor, "pipeline": pipeline}
    return "".join(f", {name} parallel in {int(count)}" for name, count in ways.items() if count > 1)


def headline(metric: str) -> tuple[str, ...]:
    """Return the metrics that are always told of a study with this metric, null where one was not measured."""
    return _GENERATES if generates(metric) else _CLASSIFIES


def generates(metric: str) -> bool:
    """Say whether a study with this metric is one of a language model."""
    return metric == "perplexity"


def loss_unit(loss: str) -> str:
    """Return in what a loss is said: points of a share, per cent of a baseline's perplexity."""
    return "%" if loss == LOSS["perplexity"] else "pt"


def loss_text(loss: str, value: float) -> str:
    """Return a loss for a person: `+0.6 pt` of accuracy, `+8.1 %` of perplexity."""
    return f"{100 * value:+z.1f} {loss_unit(loss)}"


def unit_text(name: str) -> str:
    """Return a metric with its unit: `latency_ms (ms)`, `perplexity`."""
    unit = METRICS[name][0]
    return f"{name} ({unit})" if unit else name


def drawn_quality(metric: str) -> str:
    """Return the quality that a picture shows: perplexity says little by itself, so how much more it is."""
    return LOSS[metric] if not is_share(metric) else metric


def drawn_across(objectives: Sequence[str]) -> str:
    """Return what a picture shows the quality against: latency, where it is not traded joules or money instead."""
    traded = [name for name in objectives if name in ("energy_j", *COSTS)]
    return traded[0] if traded and "latency_ms" not in objectives else "latency_ms"


def asked_text(scenario: Mapping[str, Any], metric: str) -> str:
    """Return how the model is asked, in a few words."""
    if generates(metric):
        clients = scenario["clients"]
        asked = f"{scenario['prompt_tokens']} tokens asked, {scenario['new_tokens']} answered"
        return asked if clients == 1 else f"{asked}, {clients} clients"
    length = scenario["sequence_length"]
    return (
        f"batch {scenario['batch']}, {'the data’s own lengths' if length == 'data' else f'{length} tokens'}"
    )
