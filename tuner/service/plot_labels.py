"""Labels on a plot, side by side in a lane above the points, each with a thread down to its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_SHARE = 0.17  # of the axes' height that a row of labels takes
_INK, _SIZE, _LINE, _GAP = "#1f2933", 8.8, 1.25, 16.0  # size in points, gap in pixels
_EDGES = (6, 2)  # pixels that stay free on the left and on the right

Label = tuple[float, float, str]  # x, y in data coordinates, and the text: a name, then its lines


def lane(figure: Any, axes: Any, labels: Sequence[Label]) -> float:
    """Return the share of the axes' height that the labels' lane takes at the top: as many rows as they need."""
    renderer = _renderer(figure)
    inside = axes.get_window_extent(renderer)
    widths = [_width(axes, renderer, text) for _, _, text in sorted(labels)]
    return _SHARE * rows_needed(widths, inside.width - sum(_EDGES))


def place_labels(figure: Any, axes: Any, labels: Sequence[Label]) -> None:
    """Write the labels into the lane, each as near to above its point as the others allow.

    Where one row is too short for all, neighbours stand in different rows.
    """
    renderer = _renderer(figure)
    inside = axes.get_window_extent(renderer)
    ordered = sorted(labels)
    widths = [_width(axes, renderer, text) for _, _, text in ordered]
    start, end = inside.x0 + _EDGES[0], inside.x1 - _EDGES[1]
    rows = rows_needed(widths, end - start)
    for row in range(rows):
        own, room = ordered[row::rows], widths[row::rows]
        wanted = [axes.transData.transform((x, y))[0] - w / 2 for (x, y, _), w in zip(own, room, strict=True)]
        top = inside.y1 - 4 - row * _SHARE * inside.height
        for (x, y, text), left, width in zip(own, packed(wanted, room, start, end), room, strict=True):
            _write(axes, renderer, (x, y), text, (left, top), width)


def rows_needed(widths: Sequence[float], room: float) -> int:
    """Return the least number of rows, every so-many-th label in one, that each have room for theirs."""

    def fits(rows: int) -> bool:
        return all(sum(own) + _GAP * (len(own) - 1) <= room for own in (widths[r::rows] for r in range(rows)))

    return next((rows for rows in range(1, len(widths)) if fits(rows)), max(len(widths), 1))


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


def _renderer(figure: Any) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    return FigureCanvasAgg(figure).get_renderer()


def _width(axes: Any, renderer: Any, text: str) -> float:
    """Return the pixels that a label takes: its name is bold, its lines are not."""
    name, _, rest = text.partition("\n")
    drawn = [axes.text(0, 0, name, fontsize=_SIZE, fontweight="bold"), axes.text(0, 0, rest, fontsize=_SIZE)]
    width = max(float(one.get_window_extent(renderer).width) for one in drawn)
    for one in drawn:
        one.remove()
    return width


def _write(
    axes: Any, renderer: Any, point: tuple[float, float], text: str, corner: tuple[float, float], width: float
) -> None:
    """Write a label under its upper left `corner` (pixels), with a thread to its point (data)."""
    to_data, (left, top) = axes.transData.inverted().transform, corner
    name, _, rest = text.partition("\n")
    style = {"fontsize": _SIZE, "linespacing": _LINE, "color": _INK, "ha": "left", "va": "top", "zorder": 9}
    patch = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"}
    title = axes.text(*to_data((left, top)), name, fontweight="bold", bbox=patch, **style)
    below = title.get_window_extent(renderer).y0 - 3
    lines = axes.text(*to_data((left, below)), rest, bbox=patch, **style)
    foot = lines.get_window_extent(renderer).y0 - 6
    x = axes.transData.transform(point)[0]
    start = to_data((min(max(x, left + 10), left + width - 10), foot))
    axes.plot(*zip(start, point, strict=True), color=_INK, linewidth=0.8, alpha=0.5, zorder=5)
