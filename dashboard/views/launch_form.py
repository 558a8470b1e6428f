"""The form of a study: which fields it shows, what stands in them, and what a changed one means for the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuner.metrics import LOSS
from tuner.spec.model import GENERATION

CLASSIFICATION = "text-classification"
TASKS = (CLASSIFICATION, GENERATION)
ENGINES = (
    *("torch", "torch-compile", "onnxruntime", "openvino", "xla"),
    *("onnxruntime-genai", "openvino-genai", "llama-cpp"),
)
BITS = {32: "fp32", 16: "16 bit", 8: "int8", 4: "int4"}
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9)
MODES = {
    "single-stream": "one after the other",
    "offline": "all at hand (offline)",
    "server": "at random moments (server)",
}
SAMPLERS = ("stage-aware", "tpe-grouped", "tpe", "nsga2", "random", "grid")

Place = tuple[str, ...]
#: Key of each widget, and the place in the study that it shows.
PLACES: dict[str, Place] = {
    "f_name": ("name",),
    "f_task": ("task",),
    "f_model": ("model", "source"),
    "f_data": ("data", "source"),
    "f_trials": ("budget", "trials"),
    "f_minutes": ("budget", "minutes"),
    "f_engines": ("axes", "backend", "engines"),
    "f_bits": ("axes", "quantization", "bits"),
    "f_layers": ("axes", "distillation", "student_layers"),
    "f_heads": ("axes", "pruning", "heads"),
    "f_ffn": ("axes", "pruning", "ffn"),
    "f_sampler": ("sampler",),
    "f_tags": ("tags",),
    "f_drop": ("constraints",),
    "f_latency": ("constraints",),
    "f_mode": ("scenario", "mode"),
    "f_rate": ("scenario", "rate"),
    "f_p99": ("scenario", "p99_ms"),
    "f_batch": ("scenario", "batch"),
    "f_length": ("scenario", "sequence_length"),
    "f_prompt": ("scenario", "prompt_tokens"),
    "f_answer": ("scenario", "new_tokens"),
    "f_clients": ("scenario", "clients"),
    "f_ttft": ("constraints",),
}
#: What another choice has other words for: a study that changes its task, or how requests come, begins with its own.
OUTDATED: dict[str, tuple[Place, ...]] = {
    "f_task": (("metric",), ("objectives",), ("constraints",), ("scenario",)),
    "f_mode": tuple(("scenario", name) for name in ("rate", "p99_ms", "wait_ms", "batch")),
}
#: Constraints among the fields: on which metric (None: what the study's metric loses), and its unit's factor.
_BOUNDS: dict[str, tuple[str | None, float]] = {
    "f_drop": (None, 100.0),
    "f_latency": ("latency_ms", 1.0),
    "f_ttft": ("ttft_ms", 1.0),
}


def task_of(data: Mapping[str, Any]) -> str:
    """Return the study's task; what is no task counts as the default one."""
    return GENERATION if at(data, ("task",)) == GENERATION else CLASSIFICATION


def metric_of(data: Mapping[str, Any]) -> str:
    """Return the study's metric, its task's where none is said."""
    said = at(data, ("metric",))
    usual = "perplexity" if task_of(data) == GENERATION else "accuracy"
    return said if isinstance(said, str) and said in LOSS else usual


def at(data: Mapping[str, Any], place: Sequence[str]) -> Any:
    """Return what stands at a place, None where nothing does."""
    found: Any = data
    for part in place:
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def values(data: Mapping[str, Any], engines: Sequence[str]) -> dict[str, Any]:
    """Return what the widgets show for a study; what does not fit a widget shows as nothing."""
    return {
        "f_task": task_of(data),
        "f_name": _text(at(data, PLACES["f_name"])),
        "f_model": _text(at(data, PLACES["f_model"])),
        "f_data": _text(at(data, PLACES["f_data"])),
        "f_trials": _number(at(data, PLACES["f_trials"]), int),
        "f_minutes": _number(at(data, PLACES["f_minutes"]), float),
        "f_engines": _among(at(data, PLACES["f_engines"]), engines),
        "f_bits": _among(at(data, PLACES["f_bits"]), BITS),
        "f_layers": ", ".join(map(str, at(data, PLACES["f_layers"]) or []))
        if isinstance(at(data, PLACES["f_layers"]), list)
        else "",
        "f_heads": _among(at(data, PLACES["f_heads"]), SHARES),
        "f_ffn": _among(at(data, PLACES["f_ffn"]), SHARES),
        "f_sampler": s if (s := at(data, PLACES["f_sampler"])) in SAMPLERS else SAMPLERS[0],
        "f_tags": ", ".join(map(str, t)) if isinstance(t := at(data, PLACES["f_tags"]), list) else "",
        **{key: bound(data, _bounded(key, data), scale) for key, (_, scale) in _BOUNDS.items()},
        "f_mode": m if (m := at(data, PLACES["f_mode"])) in MODES else next(iter(MODES)),
        "f_rate": _rate(at(data, PLACES["f_rate"])),
        "f_p99": _number(at(data, PLACES["f_p99"]), float),
        **{
            key: _number(at(data, PLACES[key]), int)
            for key in ("f_batch", "f_length", "f_prompt", "f_answer", "f_clients")
        },
    }


def _bounded(key: str, data: Mapping[str, Any]) -> str:
    """Return the metric that a field bounds."""
    return _BOUNDS[key][0] or LOSS[metric_of(data)]


def _text(value: Any) -> str:
    return value[:500] if isinstance(value, str) else ""


def _rate(value: Any) -> str:
    number = _number(value, float)
    return _text(value) if number is None else f"{number:g}"


def _number(value: Any, kind: type) -> Any:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9
    return kind(value) if fits else None


def _among(value: Any, known: Any) -> list[Any]:
    return [v for v in value if v in known] if isinstance(value, list) else []


def bound(data: Mapping[str, Any], metric: str, scale: float) -> float | None:
    """Return the bound that a study's constraints set on a metric, in the unit that the form shows."""
    for text in at(data, ("constraints",)) or []:
        name, sign, number = str(text).partition("<=")
        if sign and name.strip() == metric:
            try:
                return float(number.strip().removesuffix("%")) * (
                    1 if number.strip().endswith("%") else scale
                )
            except ValueError:
                return None
    return None


def changed(key: str, value: Any, data: Mapping[str, Any]) -> tuple[Place, Any]:
    """Return the place that a changed widget means and its new value there; None removes the field."""
    place = PLACES[key]
    if key in _BOUNDS:
        return place, _constraints(key, value, data)
    if key in ("f_layers", "f_tags"):
        parts = [p.strip() for p in str(value).split(",") if p.strip()]
        return place, (parts if key == "f_tags" else [int(p) if p.isdigit() else p for p in parts]) or None
    if isinstance(value, list):
        return place, sorted(
            value, reverse=key == "f_bits"
        ) if value and key != "f_engines" else value or None
    if isinstance(value, str):
        return place, (_read(value) if key == "f_rate" else value) or None
    return place, value


def _read(rate: str) -> float | str:
    """Return a rate as a number, and `max` or what is no rate as it was written: the check says what is wrong."""
    try:
        return float(rate)
    except ValueError:
        return rate.strip()


def _constraints(key: str, value: float | None, data: Mapping[str, Any]) -> list[str] | None:
    metric, scale = _bounded(key, data), _BOUNDS[key][1]
    others = [str(c) for c in at(data, ("constraints",)) or [] if str(c).partition("<=")[0].strip() != metric]
    if value is not None:
        others.insert(0, f"{metric} <= {value / scale:g}")
    return others or None
