"""The front as a table: what each point is, what it costs and gives, and what the confirmation took away."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuner.cli.output import note, print_table
from tuner.metrics import COSTS, LOSS, OPEN, Estimate, is_share
from tuner.spec.wording import generates, loaded, loss_unit

if TYPE_CHECKING:
    from tuner.service.handle import StudyHandle
    from tuner.service.rows import TrialRow

#: Left out first where a terminal is narrow.
_EXPENDABLE = (
    "samples/s,memory MB,size MB,parallel,against search,TPOT ms,TTFT ms,tokens/s,drop pt,agreement %,layers"
)


def print_front(study: StudyHandle, rows: Sequence[TrialRow], everything: bool = False) -> None:
    """Print a front, or with `everything` how each trial stands to it, and under it what it is compared with."""
    from rich.markup import escape

    metric, scenario = study.spec["metric"], study.spec["scenario"]
    names = _remarks(study)
    beside = [row for row, _ in comparisons(study) if row.number not in {r.number for r in rows}]
    figures = [*_loaded(scenario), *_figures(metric), *_meters(study, [*rows, *beside])]
    lines = [_cells(row, figures, metric, names.get(row.number, ""), everything) for row in rows]
    lines += [_cells(row, figures, metric, names[row.number], True) for row in beside]
    print_table(_headers(figures), lines, f"{escape(study.name)}: {_heading(rows)}", _EXPENDABLE)
    _note_doubts(study, rows, everything)


def _note_doubts(study: StudyHandle, rows: Sequence[TrialRow], everything: bool) -> None:
    """Say which places on the front are owed to noise perhaps, and how many noise may have kept off it."""
    doubtful = [row for row in rows if row.on_front and row.rivals]
    if doubtful:
        named = [f"{row.number} (perhaps beaten by {_few(row.rivals)})" for row in doubtful]
        note(f"on the front by less than the noise: {', '.join(named)}")
    tied = sum(row.place == "tied" for row in study.rows())
    if tied and not everything:
        note(
            f"{tied} more tied with the front, dominated by less than the noise: tuner front {study.name} --all"
        )


def _few(trials: Sequence[int]) -> str:
    return ", ".join([*map(str, trials[:3]), *(["…"] if len(trials) > 3 else [])])


def _remarks(study: StudyHandle) -> dict[int, str]:
    """Return what is said of a trial in the last column: what it is, and where several hosts measured, on which."""
    names, trials = {row.number: why for row, why in comparisons(study)}, study.rows()
    if len({row.host for row in trials}) < 2:
        return names
    return {r.number: ", ".join(filter(None, (names.get(r.number), f"on {r.host}"))) for r in trials}


def comparisons(study: StudyHandle) -> list[tuple[TrialRow, str]]:
    """Return what the front is held against: each engine's fastest artefact of the whole model, and the baseline."""
    measured = [row for row in study.rows() if row.estimate("latency_ms") is not None]
    base = next((row for row in measured if row.candidate == study.baseline), None)
    if base is None:
        return []
    depth = base.candidate.distillation.student_layers
    whole = [row for row in measured if row.candidate.is_unshaped(depth)]
    best: dict[str, TrialRow] = {}
    for row in sorted(whole, key=lambda row: _value(row.estimate("latency_ms"))):
        best.setdefault(row.candidate.backend.engine, row)
    return [*((row, "whole model") for row in best.values() if row is not base), (base, "baseline")]


def interval(estimate: Estimate | None, scale: float = 1.0, digits: int = 1) -> str:
    """Return `95.1 ±1.2`: value and half its 95 % interval; only the value where it has no spread."""
    if estimate is None:
        return "–"
    half = (estimate.high - estimate.low) / 2 * abs(scale)
    value = f"{estimate.value * scale:z.{digits}f}"
    return value if half == 0 else f"{value} ±{half:.{digits}f}"


def latency(estimate: Estimate | None) -> str:
    """Return milliseconds with as many digits as they are worth."""
    return interval(estimate, digits=2 if estimate is not None and estimate.value < 20 else 1)


def small(estimate: Estimate | None) -> str:
    """Return joules or money with three significant digits."""
    if estimate is None:
        return "–"
    return interval(estimate, digits=max(2 - math.floor(math.log10(max(abs(estimate.value), 1e-9))), 0))


def times(estimate: Estimate | None) -> str:
    """Return a ratio such as 12.4x."""
    return "–" if estimate is None else f"{estimate.value:.{2 if estimate.value < 10 else 1}f}x"


def quality(metric: str, estimate: Estimate | None) -> str:
    """Return `accuracy 95.1 ±1.2 %`, `perplexity 21.3 ±0.9`."""
    return f"{metric} {interval(estimate, 100)} %" if is_share(metric) else f"{metric} {interval(estimate)}"


def lost(row: TrialRow, metric: str) -> str:
    """Return what the confirmation changed against the search's own numbers."""
    if row.confirmed is None:
        return "not confirmed"
    changed, ms = row.lost(metric), row.lost("latency_ms")
    parts = [] if changed is None else [f"{metric} {100 * changed:+z.1f} {loss_unit(LOSS[metric])}"]
    return ", ".join([*parts, *([] if ms is None else [f"latency {ms:+z.0%}"])]) or "–"


def _heading(rows: Sequence[TrialRow]) -> str:
    confirmed = sum(row.confirmed is not None for row in rows)
    count = f"{len(rows)} point{'s' if len(rows) != 1 else ''}"
    if rows and confirmed == len(rows):
        return f"{count}, confirmed on the test split"
    return f"{count}, as the search measured them on the validation split"


#: A column of what was measured: its heading, and what of a row stands below it.
_Column = tuple[str, Callable[["TrialRow"], str]]


def _headers(figures: Sequence[_Column]) -> list[str]:
    parts = ["trial", "layers", "pruned", "bits", "parallel", "engine"]
    return [*parts, *(name for name, _ in figures), "against search", ""]


def _loaded(scenario: Mapping[str, Any]) -> list[_Column]:
    """Return the columns of what was measured under load, none in other scenarios."""
    known: dict[str, _Column] = {
        "server_rate": ("requests/s", lambda row: interval(row.estimate("server_rate"), digits=0)),
        "server_p99_ms": ("p99 ms", lambda row: under_load(row.estimate("server_p99_ms"))),
        "cores": ("cores", lambda row: interval(row.estimate("cores"), digits=0)),
    }
    return [known[name] for name in loaded(scenario)]


def under_load(estimate: Estimate | None) -> str:
    """Return a latency under load; of a line that only grew, the least that it is."""
    if estimate is None or estimate.high < OPEN:
        return latency(estimate)
    return f"over {estimate.value:.0f}"


def _meters(study: StudyHandle, rows: Sequence[TrialRow]) -> list[_Column]:
    """Return columns of energy and cost, where a meter or a price gave any."""
    money = (study.spec.get("price") or {}).get("currency", "")
    heads = {"energy_j": "J/request", **dict(zip(COSTS, (f"{money}/1M", f"{money}/1M tokens"), strict=True))}
    return [
        (head, lambda row, name=name: small(row.estimate(name)))  # type: ignore[misc]
        for name, head in heads.items()
        if any(row.estimate(name) is not None for row in rows)
    ]


def _figures(metric: str) -> list[_Column]:
    """Return the columns of what was measured: a heading, and what of a row stands below it."""

    def of(name: str, scale: float = 1.0, digits: int = 1) -> Callable[[TrialRow], str]:
        return lambda row: interval(row.estimate(name), scale, digits)

    def ms(name: str) -> Callable[[TrialRow], str]:
        return lambda row: latency(row.estimate(name))

    speed: tuple[str, Callable[[TrialRow], str]] = ("speedup", lambda row: times(row.estimate("speedup")))
    room = [("memory MB", of("memory_mb", digits=0)), ("size MB", of("size_mb"))]
    if generates(metric):
        answers = [
            (metric, of(metric)),
            ("more %", of(LOSS[metric], 100)),
            ("agreement %", of("agreement", 100)),
        ]
        tokens = [
            ("TTFT ms", ms("ttft_ms")),
            ("TPOT ms", ms("tpot_ms")),
            ("tokens/s", of("tokens_per_s", digits=0)),
        ]
        return [*answers, ("response ms", ms("latency_ms")), speed, *tokens, *room]
    answers = [(f"{metric} %", of(metric, 100)), ("drop pt", of(LOSS[metric], 100))]
    return [
        *answers,
        ("latency ms", ms("latency_ms")),
        speed,
        ("samples/s", of("throughput", digits=0)),
        *room,
    ]


def _cells(row: TrialRow, figures: Sequence[_Column], metric: str, why: str, standing: bool) -> list[str]:
    c = row.candidate
    stands = row.place if standing and not row.on_front else None
    missed = stands or ("" if row.feasible else "discarded" if row.discarded else "misses a constraint")
    return [
        str(row.number),
        str(c.distillation.student_layers),
        f"{c.pruning.heads:.3g}/{c.pruning.ffn:.3g}{' 2:4' if c.pruning.semi_structured else ''}",
        _bits(row),
        c.parallel.words,
        c.backend.engine
        + ("" if c.backend.device == "cpu" else f"@{c.backend.device}")
        + ("/fixed" if c.backend.fixed_shape else ""),
        *(text(row) for _, text in figures),
        lost(row, metric),
        ", ".join(text for text in (why, missed) if text),
    ]


def _bits(row: TrialRow) -> str:
    q = row.candidate.quantization
    return (
        f"{q.bits}"
        + ("" if q.scheme == "none" else f" {q.scheme}")
        + (f" {q.method}" if q.method else "")
        + (f" g{q.group_size}" if q.group_size else "")
        + (f" kv{q.kv_bits}" if q.kv_bits else "")
    )


def _value(estimate: Estimate | None) -> float:
    return float("inf") if estimate is None else estimate.value
