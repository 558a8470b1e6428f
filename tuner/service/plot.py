"""Plot: the front of a study as a picture, quality against latency (or joules, or money, where these are traded
instead), with all that was measured.

Better is always up: a quality that is better the smaller it is (how much perplexity grew) is drawn as a height below
zero, and its axis says what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tuner.errors import TunerError
from tuner.metrics import LOSS, METRICS, Estimate
from tuner.service.plot_labels import lane, place_labels
from tuner.service.rows import TrialRow
from tuner.spec.constraint import parse_constraint
from tuner.spec.wording import FORMATS, asked_text, drawn_across, drawn_quality, format_name, unit_text

if TYPE_CHECKING:
    from tuner.service.handle import StudyHandle

#: Okabe and Ito's palette: told apart by colour-blind readers too.
ENGINE_COLOURS = {
    "torch": "#E69F00",
    "torch-compile": "#D55E00",
    "onnxruntime": "#0072B2",
    "openvino": "#009E73",
    "onnxruntime-genai": "#56B4E9",
    "openvino-genai": "#CC79A7",
}
_OTHER = ("#7A6A00", "#6A51A3", "#666666")
FORMAT_MARKERS = {"fp32": "o", "tf32": "p", "16 bit": "D", "fp16": "d", "int8": "s", "fp8": "P", "int4": "^",
                  "int3": "v", "int2": "X"}  # fmt: skip
_OPEN_END = 10.0  # times the value, where an interval's end is open
_INK, _GREY, _SPARE = "#1f2933", "#8a94a0", 0.06


class Plane(NamedTuple):
    """The two metrics of a picture: what less of is to the left, and the quality whose better is up."""

    across: str
    up: str


@dataclass(frozen=True)
class Drawn:
    """What is drawn: every measured row, the front fastest first, and the points that carry a label.

    `plane` are the metrics that are drawn, `floor` the lowest height of it that the constraints allow.
    """

    name: str
    plane: Plane
    rows: list[TrialRow]
    front: list[TrialRow]
    baseline: TrialRow | None
    labels: list[tuple[TrialRow, str]]
    floor: float | None
    caption: str


def plot_front(study: StudyHandle, path: Path) -> Path:
    """Draw a study's front as a PNG and return its path.

    Raises:
        TunerError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = draw(drawn(study))
    try:
        FigureCanvasAgg(figure).print_figure(str(path), dpi=150, format="png")
    except OSError as error:
        raise TunerError(f"{path}: cannot be written: {error.strerror or error}") from None
    return path


def drawn(study: StudyHandle) -> Drawn:
    """Choose what of a study is drawn."""
    across = drawn_across(study.spec["objectives"], study.spec["scenario"])
    plane = Plane(across, drawn_quality(study.spec["metric"]))
    rows = [row for row in study.rows() if _point(row, plane) is not None]
    front = [row for row in study.front_rows() if _point(row, plane) is not None]
    baseline = next((row for row in rows if row.candidate == study.baseline), None)
    labels = _labels(study, rows, front, baseline)
    return Drawn(
        study.name, plane, rows, front, baseline, labels, _floor(study, baseline), _caption(study, rows)
    )


def draw(content: Drawn) -> Any:
    """Return the matplotlib figure (10 by 6.2 inches)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.2), facecolor="white")
    axes = figure.add_axes((0.085, 0.105, 0.675, 0.735))
    figure.text(0.085, 0.955, f"{content.name}: the front", fontsize=15, fontweight="bold", color=_INK)
    figure.text(0.085, 0.917, content.caption, fontsize=9, color=_GREY)
    if content.rows:
        _limits(axes, content, lane(figure, axes, _texts(content)))
        _background(axes, content)
        _points(axes, content)
        _front_line(axes, content)
        place_labels(figure, axes, _texts(content))
    else:
        axes.text(0.5, 0.5, "no trial was measured yet", ha="center", color=_GREY, transform=axes.transAxes)
    _style(axes, content)
    _legends(figure, content)
    return figure


# -- what is chosen


def _labels(
    study: StudyHandle, rows: list[TrialRow], front: list[TrialRow], baseline: TrialRow | None
) -> list[tuple[TrialRow, str]]:
    """Return the points worth a name: fastest, knee, the fastest whole model, the baseline."""
    named: dict[int, list[str]] = {}
    if front:
        named.setdefault(study.pick("fastest").number, []).append("fastest")
        named.setdefault(study.pick("knee").number, []).append("knee")
    if baseline is not None:
        whole = [
            row for row in rows if row.candidate.is_unshaped(baseline.candidate.distillation.student_layers)
        ]
        fastest = min(whole, key=lambda row: _value(row, "latency_ms"))
        if fastest != baseline:
            named.setdefault(fastest.number, []).append("best whole model")
        named.setdefault(baseline.number, []).append("baseline")
    by_number = {row.number: row for row in rows}
    return [(by_number[n], " and ".join(names)) for n, names in named.items() if n in by_number]


def _floor(study: StudyHandle, baseline: TrialRow | None) -> float | None:
    for constraint in map(parse_constraint, study.spec["constraints"]):
        metric, quality = study.spec["metric"], drawn_quality(study.spec["metric"])
        if constraint.metric == quality:
            return height(quality, Estimate.exact(constraint.bound)).value
        if baseline is not None and constraint.metric == LOSS[metric]:
            return _value(baseline, metric) - constraint.bound
    return None


def _caption(study: StudyHandle, rows: list[TrialRow]) -> str:
    asked = asked_text(study.spec["scenario"], study.spec["metric"])
    cores = len(study.host.get("cores", ()))
    host = f"{study.host.get('cpu', 'unknown host')}, {cores} cores" if cores else "unknown host"
    return f"{len(rows)} candidates measured · {asked} · {host}"


def _texts(content: Drawn) -> list[tuple[float, float, str]]:
    """Return the labels as x, y, text."""
    found = []
    for row, name in content.labels:
        speedup, (x, y) = row.estimate("speedup"), _xy(row, content.plane)
        fast = "" if speedup is None or name == "baseline" else f"  {speedup.value:.3g}×"
        found.append((x.value, y.value, f"{name}{fast}\n{_short(row)}"))
    return found


def _short(row: TrialRow) -> str:
    """Return a point's candidate without what is the same everywhere."""
    c = row.candidate
    layers = c.distillation.student_layers
    whole = f"{layers} layer{'s' if layers > 1 else ''}, {_format(row)}, {c.backend.engine}"
    shares = ((c.pruning.heads, "heads"), (c.pruning.ffn, "FFN"))
    pruned = ", ".join(f"−{share:.0%} {what}" for share, what in shares if share)
    pruned += " 2:4" if c.pruning.semi_structured else ""
    return f"{whole}\n{pruned}" if pruned else whole


# -- numbers


def _point(row: TrialRow, plane: Plane) -> tuple[Estimate, Estimate] | None:
    x, y = row.estimate(plane.across), row.estimate(plane.up)
    return None if x is None or y is None or x.value <= 0 else (way(plane.across, x), height(plane.up, y))


def way(metric: str, found: Estimate) -> Estimate:
    """Return what is drawn across such that less is better: a rate as the milliseconds from a request to the next."""
    if METRICS[metric][1] == "minimize":
        return found.model_copy(update={"high": min(found.high, _OPEN_END * found.value)})
    low = max(found.low, found.value / _OPEN_END)
    return Estimate(value=1e3 / found.value, low=1e3 / found.high, high=1e3 / low)


def height(metric: str, found: Estimate) -> Estimate:
    """Return a quality such that more is better."""
    if METRICS[metric][1] == "maximize":
        return found
    return Estimate(value=-found.value, low=-found.high, high=-found.low)


def _xy(row: TrialRow, plane: Plane) -> tuple[Estimate, Estimate]:
    found = _point(row, plane)
    assert found is not None  # rows without a point are not drawn
    return found


def _value(row: TrialRow, metric: str) -> float:
    found = row.estimate(metric)
    return float("inf") if found is None else found.value


# -- what is drawn


def _limits(axes: Any, content: Drawn, lane: float) -> None:
    """Show the front and the baseline large, under a share for the labels; points far below are held at the edge."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    xs = [_xy(row, content.plane)[0].value for row in content.rows]
    axes.set_xlim(min(xs) / 1.45, max(xs) * 1.6)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    rate = METRICS[content.plane.across][1] == "maximize"
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{1e3 / value if rate else value:.4g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    low, high = _span(content)
    axes.set_ylim(low, high + (high - low) * lane / (1 - lane))


def _span(content: Drawn) -> tuple[float, float]:
    """Return the lowest and the highest quality drawn."""
    wanted = [*content.front, *([content.baseline] if content.baseline else [])] or content.rows
    intervals = [_xy(row, content.plane)[1] for row in wanted]
    low, high = min(i.low for i in intervals), max(i.high for i in intervals)
    low = min(low, content.floor if content.floor is not None else low)
    spare = max(high - low, 0.01)
    lowest = min(_xy(row, content.plane)[1].value for row in content.rows)
    below = min(0.35 * spare, max(low - lowest, 0.0))
    return low - below - _SPARE * spare, high + 0.5 * _SPARE * spare


def _background(axes: Any, content: Drawn) -> None:
    """Shade what the constraints refuse, and mark the baseline's quality."""
    low = axes.get_ylim()[0]
    if content.floor is not None:
        axes.axhspan(low, content.floor, color="#b0413e", alpha=0.06, zorder=0, linewidth=0)
    if content.baseline is not None:
        y = _xy(content.baseline, content.plane)[1].value
        axes.axhline(y, color=_GREY, linewidth=1, linestyle=(0, (2, 3)), zorder=1)


def _points(axes: Any, content: Drawn) -> None:
    low = axes.get_ylim()[0]
    front = {row.number for row in content.front}
    for row in content.rows:
        is_baseline = content.baseline is not None and row.number == content.baseline.number
        if row.confirmed is not None:
            _confirmed(axes, row, content.plane, strong=row.number in front or is_baseline)
        else:
            _searched(axes, row, content.plane, low, strong=row.number in front or is_baseline)
        if is_baseline:
            _ring(axes, row, content.plane)


def _searched(axes: Any, row: TrialRow, plane: Plane, low: float, strong: bool) -> None:
    """Draw what only the search measured: small, pale; hollow where a constraint is missed."""
    (x, y), colour = _xy(row, plane), _colour(row)
    height = max(y.value, low + (axes.get_ylim()[1] - low) * 0.012)
    face = colour if row.feasible else "none"
    axes.plot(
        [x.value], [height], _marker(row), markersize=6.5, markerfacecolor=face, linestyle="none",
        markeredgecolor=colour, markeredgewidth=1.1, alpha=0.95 if strong else 0.38,
        zorder=5 if strong else 2,
    )  # fmt: skip


def _confirmed(axes: Any, row: TrialRow, plane: Plane, strong: bool) -> None:
    """Draw a confirmed point with its intervals, and a thread to where the search had seen it."""
    (x, y), colour = _xy(row, plane), _colour(row)
    face, alpha = (colour if row.feasible else "white"), (1.0 if strong else 0.6)
    errors = [[[e.value - e.low], [e.high - e.value]] for e in (x, y)]
    axes.errorbar(
        x.value, y.value, xerr=errors[0], yerr=errors[1], fmt="none", ecolor=colour, elinewidth=1.1,
        capsize=2.5, alpha=0.55 * alpha, zorder=5,
    )  # fmt: skip
    axes.plot(
        [x.value], [y.value], _marker(row), markersize=10.5, markerfacecolor=face, linestyle="none",
        markeredgecolor=_INK if row.feasible else colour, markeredgewidth=1.3, alpha=alpha, zorder=7,
    )  # fmt: skip
    raw, before = row.metrics.get(plane.across), row.metrics.get(plane.up)
    if raw is not None and raw.value > 0 and before is not None:
        before_x, before_y = way(plane.across, raw), height(plane.up, before)
        axes.plot(
            [before_x.value, x.value],
            [before_y.value, y.value],
            color=colour,
            linewidth=0.9,
            alpha=0.5,
            zorder=3,
        )
        axes.plot(
            [before_x.value], [before_y.value], _marker(row), markersize=5, markerfacecolor=colour,
            markeredgewidth=0, alpha=0.5, zorder=3, linestyle="none",
        )  # fmt: skip


def _ring(axes: Any, row: TrialRow, plane: Plane) -> None:
    x, y = _xy(row, plane)
    axes.plot(
        [x.value], [y.value], "o", markersize=19, markerfacecolor="none", markeredgecolor=_INK,
        markeredgewidth=1.2, zorder=6, linestyle="none",
    )  # fmt: skip


def _front_line(axes: Any, content: Drawn) -> None:
    """Draw the stairs of the front: each point is the best there is up to the next one's latency."""
    if not content.front:
        return
    points = sorted((_xy(r, content.plane)[0].value, _xy(r, content.plane)[1].value) for r in content.front)
    best: list[tuple[float, float]] = []
    for x, y in points:  # a front of three objectives has points that are no steps in this plane
        if not best or y > best[-1][1]:
            best.append((x, y))
    xs, ys = [x for x, _ in best] + [axes.get_xlim()[1]], [y for _, y in best] + [best[-1][1]]
    axes.plot(
        xs,
        ys,
        drawstyle="steps-post",
        color=_INK,
        linewidth=1.6,
        alpha=0.75,
        zorder=4,
        solid_joinstyle="round",
    )


def _style(axes: Any, content: Drawn) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_GREY)
    axes.tick_params(colors=_INK, which="both", labelsize=9.5)
    axes.grid(True, which="major", color="#e6e9ed", linewidth=0.8)
    axes.set_axisbelow(True)
    split = "test split" if any(row.confirmed for row in content.rows) else "validation split"
    up = METRICS[content.plane.up][1] == "maximize"
    axes.set_xlabel(_across_text(content.plane), color=_INK, fontsize=10.5)
    quality = content.plane.up.replace("_", " ") + ("" if up else ", % (less is up)")
    axes.set_ylabel(f"{quality} on the {split}", color=_INK, fontsize=10.5)
    axes.yaxis.set_major_locator(MaxNLocator(7))
    axes.yaxis.set_major_formatter(FuncFormatter(_share if up else _increase))
    if content.baseline is None:
        return
    base = _xy(content.baseline, content.plane)[0].value

    def swap(values: Any) -> Any:  # milliseconds to times faster, and back; matplotlib also asks for zero
        return base / np.maximum(values, 1e-12)

    top = axes.secondary_xaxis("top", functions=(swap, swap))
    ticks = [
        t
        for t in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
        if axes.get_xlim()[0] < base / t < axes.get_xlim()[1]
    ]
    top.set_xticks(ticks, [f"{t:g}×" for t in ticks])
    top.xaxis.set_minor_locator(NullLocator())
    top.xaxis.set_minor_formatter(NullFormatter())
    top.tick_params(colors=_GREY, labelsize=9)
    top.spines["top"].set_visible(False)
    saved = "faster" if content.plane.across == "latency_ms" else "less"
    top.set_xlabel(f"times {saved} than the baseline", color=_GREY, fontsize=9)


def _across_text(plane: Plane) -> str:
    if plane.across == "server_rate":
        return "largest rate, requests a second (logarithmic, more is left)"
    if plane.across == "server_p99_ms":
        return "99th percentile of latency under load, ms (logarithmic)"
    if plane.across != "latency_ms":
        return f"{unit_text(plane.across)}, logarithmic"
    what = "whole response" if METRICS[plane.up][1] == "minimize" else "latency"
    return f"{what}, ms (logarithmic, drift-corrected)"


def _share(value: float, _: int) -> str:
    return f"{value:.3g}" if value <= 1.0001 else ""


def _increase(value: float, _: int) -> str:
    return f"{-100 * value:+z.3g}"


def _legends(figure: Any, content: Drawn) -> None:
    from matplotlib.lines import Line2D

    def dot(label: str, marker: str, face: str, edge: str, **more: Any) -> Any:
        options = {"markersize": 8, "markeredgewidth": 1.1, **more}
        return Line2D([], [], linestyle="none", marker=marker, markerfacecolor=face, markeredgecolor=edge,
                      label=label, **options)  # fmt: skip

    engines = sorted({row.candidate.backend.engine for row in content.rows}, key=_engine_order)
    found = {_format(row) for row in content.rows}
    formats = [name for name in FORMATS if name in found]
    parts = [
        ("engine", [dot(name, "o", _engine_colour(name), _engine_colour(name)) for name in engines]),
        ("number format", [dot(name, FORMAT_MARKERS[name], "#c3cad2", _INK) for name in formats]),
        ("point", [
            dot("confirmed, 95 % interval", "s", "#c3cad2", _INK, markersize=10),
            dot("only searched", "s", "#c3cad2", "#c3cad2", markersize=6),
            dot("misses a constraint", "s", "none", _GREY, markersize=6),
            dot("the baseline", "o", "none", _INK, markersize=13),
            Line2D([], [], color=_INK, linewidth=1.6, alpha=0.75, label="front"),
        ]),
    ]  # fmt: skip
    top = 0.84
    for title, handles in parts:
        if handles:
            legend = figure.legend(
                handles=handles, title=title, loc="upper left", bbox_to_anchor=(0.772, top), frameon=False,
                fontsize=9.5, title_fontsize=9.5, alignment="left", labelspacing=0.65, handletextpad=0.6,
            )  # fmt: skip
            legend.get_title().set_fontweight("bold")
            top -= 0.06 + 0.0365 * len(handles)
    if content.floor is not None:
        figure.text(
            0.784, top - 0.03, "shaded: quality below\nthe study's constraint", fontsize=8.5, color=_GREY
        )


def _format(row: TrialRow) -> str:
    return format_name(row.candidate.quantization.bits, row.candidate.quantization.scheme)


def _marker(row: TrialRow) -> str:
    return FORMAT_MARKERS[_format(row)]


def _colour(row: TrialRow) -> str:
    return _engine_colour(row.candidate.backend.engine)


def _engine_colour(engine: str) -> str:
    return ENGINE_COLOURS.get(engine) or _OTHER[sum(engine.encode()) % len(_OTHER)]


def _engine_order(engine: str) -> tuple[int, str]:
    known: Sequence[str] = list(ENGINE_COLOURS)
    return (known.index(engine) if engine in known else len(known), engine)
