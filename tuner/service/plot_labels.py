"""Labels on a plot, side by side in a lane above the points, each with a thread down to its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: Share of the axes' height that the lane takes at the top.
LANE = 0.17
_INK, _SIZE, _LINE, _GAP = "#1f2933", 8.8, 1.25, 16.0  # size in points, gap in pixels

Label = tuple[float, float, str]  # x, y in data coordinates, and the text: a name, then its lines


def place_labels(figure: Any, axes: Any, labels: Sequence[Label]) -> None:
    """Write the labels into the lane, each as near to above its point as the others allow."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    inside = axes.get_window_extent(renderer)
    ordered = sorted(labels)
    widths = [_width(axes, renderer, text) for _, _, text in ordered]
    wanted = [
        axes.transData.transform((x, y))[0] - w / 2 for (x, y, _), w in zip(ordered, widths, strict=True)
    ]
    lefts = packed(wanted, widths, inside.x0 + 6, inside.x1 - 2)
    for (x, y, text), left, width in zip(ordered, lefts, widths, strict=True):
        _write(axes, renderer, (x, y), text, left, width)


def packed(wanted: Sequence[float], widths: Sequence[float], start: float, end: float) -> list[float]:
    """Return left edges near the wanted ones without overlap, in order, and within start..end if they fit."""
    lefts: list[float] = []
    for left, _ in zip(wanted, widths, strict=True):
        lefts.append(max(left, lefts[-1] + widths[len(lefts) - 1] + _GAP if lefts else start))
    limit = end
    for i in range(len(lefts) - 1, -1, -1):
        lefts[i] = max(min(lefts[i], limit - widths[i]), start)
        limit = lefts[i] - _GAP
    return lefts


def _width(axes: Any, renderer: Any, text: str) -> float:
    drawn = axes.text(0, 0, text, fontsize=_SIZE, fontweight="bold")
    width = float(drawn.get_window_extent(renderer).width)
    drawn.remove()
    return width


def _write(
    axes: Any, renderer: Any, point: tuple[float, float], text: str, left: float, width: float
) -> None:
    to_data = axes.transData.inverted().transform
    name, _, rest = text.partition("\n")
    style = {"fontsize": _SIZE, "linespacing": _LINE, "color": _INK, "ha": "left", "va": "top", "zorder": 9}
    top = axes.get_window_extent(renderer).y1 - 4
    title = axes.text(*to_data((left, top)), name, fontweight="bold", **style)
    below = title.get_window_extent(renderer).y0 - 3
    patch = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"}
    lines = axes.text(*to_data((left, below)), rest, bbox=patch, **style)
    foot = lines.get_window_extent(renderer).y0 - 6
    x = axes.transData.transform(point)[0]
    start = to_data((min(max(x, left + 10), left + width - 10), foot))
    axes.plot(*zip(start, point, strict=True), color=_INK, linewidth=0.8, alpha=0.5, zorder=5)
