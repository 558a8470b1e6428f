"""`tuner compare`: which hardware? What hosts, or studies, offer side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli.study import Json

if TYPE_CHECKING:
    from tuner.metrics import Estimate
    from tuner.service.beside import Best, Offered

_EXPENDABLE = "samples/s,candidate"


def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY...", help="one study that several hosts measured, or several", show_default=False
        ),
    ],
    as_json: Json = False,
) -> None:
    """Say which hardware is fastest, cheapest, thriftiest.

    Of one study, by the hosts that measured it: each one's baseline and its best points, latency, energy and cost side
    by side. Several studies are compared with each other; `STUDY on HOST` names a part of one. Each speedup is against
    fp32 PyTorch eager on the same host.
    """
    from tuner.cli.output import print_json, print_table
    from tuner.service import api
    from tuner.service.beside import best_by

    rows, money = api.compare(names)
    found = best_by(rows, money)
    if as_json:
        print_json(
            {"offered": [r.to_json() for r in rows], "best": [b.to_json() for b in found], "currency": money}
        )
        return
    print_table(_headers(rows, money), [_cells(row, rows) for row in rows], expendable=_EXPENDABLE)
    for best in found:
        print(_sentence(best, money))


def _headers(rows: list[Offered], money: str) -> list[str]:
    heads = {"energy_j": "J/request", "cost_per_million": f"{money}/1M".lstrip("/")}
    return ["", "", "trial", "candidate", "quality", "latency ms", "speedup", "samples/s",
            *(head for name, head in heads.items() if _any(rows, name))]  # fmt: skip


def _any(rows: list[Offered], metric: str) -> bool:
    return any(metric in row.metrics for row in rows)


def _cells(row: Offered, rows: list[Offered]) -> list[str]:
    from tuner.cli.table import latency, quality, small, times

    found = row.metrics
    metric = next(iter(found), "")
    return [
        row.contender,
        ", ".join(row.roles),
        str(row.trial),
        row.candidate,
        quality(metric, found.get(metric)),
        latency(found.get("latency_ms")),
        times(found.get("speedup")),
        small(found.get("throughput")),
        *(small(found.get(name)) for name in ("energy_j", "cost_per_million") if _any(rows, name)),
    ]


def _sentence(best: Best, money: str) -> str:
    """Return who is best: `cheapest: small, trial 3, 0.21 USD per 10^6 requests, 2.1x less than the next`."""
    from tuner.metrics import METRICS
    from tuner.service.beside import ASKED

    unit, way = METRICS[best.metric]
    value = f"{_short(best.estimate)} {money + ' ' if best.metric == 'cost_per_million' else ''}{unit}"
    said = f"{ASKED[best.metric]}: {best.contender}, trial {best.trial}, {value}"
    if best.tied:
        return f"{said}; within the noise as good: {', '.join(best.tied)}"
    gap = (
        ""
        if best.times is None
        else f", {best.times:.3g}x {'less' if way == 'minimize' else 'more'} than the next"
    )
    return said + gap


def _short(estimate: Estimate) -> str:
    return f"{estimate.value:.3g}"
