"""`tuner export` and `tuner verify`: a bundle out of a study, and a bundle against its claims."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any

import typer

from tuner.cli.study import Json, Name


class Pick(enum.StrEnum):
    """How a point of the front is chosen."""

    fastest = "fastest"
    knee = "knee"
    most_accurate = "most-accurate"
    cheapest = "cheapest"


def share(text: str) -> float:
    """Read a share: `0.03`, `3%`."""
    number = text.strip().removesuffix("%").strip()
    try:
        found = float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise typer.BadParameter(f"{text!r} is no share from 0 to 1; write for example 0.03 or 3%")
    return found


def export(
    name: Name,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="directory to write, new or empty", show_default=False)
    ],
    trial: Annotated[int | None, typer.Option(min=0, help="number of a measured trial")] = None,
    pick: Annotated[Pick | None, typer.Option(help="point of the front (default: fastest)")] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(
            parser=share,
            metavar="SHARE",
            help="what the metric may lose: 0.01 or 1% is a point of accuracy, or 1 % more perplexity",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a bundle that answers without the tuner.

    It holds artefact, tokenizer, labels, predict.py, requirements.txt and a report.
    """
    from tuner.cli.output import print_json, working
    from tuner.service import api

    if trial is not None and (pick is not None or max_loss is not None):
        raise typer.BadParameter("--trial already names the point: leave --pick and --max-loss out")
    with working():
        chosen = api.load(name).pick((pick or Pick.fastest).value, max_loss, trial)
        bundle = chosen.export(output)
    if as_json:
        print_json({"bundle": str(bundle), **chosen.row.to_json()})
        return
    row = chosen.row
    print(f"{bundle}: trial {chosen.number}, {row.candidate.label()}, {_headline(row, chosen.study.spec)}")


def _headline(row: Any, spec: Any) -> str:
    from tuner.cli.table import latency, quality, times

    metric = spec["metric"]
    found = [quality(metric, row.estimate(metric)), f"{latency(row.estimate('latency_ms'))} ms"]
    return ", ".join([*found, f"{times(row.estimate('speedup'))} the baseline's speed"])


def verify(
    bundle: Annotated[Path, typer.Argument(help="directory of a bundle", show_default=False)],
    as_json: Json = False,
) -> None:
    """Measure a bundle again against its claims.

    Its files are checked against the manifest, its own predict.py answers the study's test split, and its
    latency is measured beside the study's baseline.
    """
    from tuner.cli.guard import FAILED
    from tuner.cli.output import print_json, working
    from tuner.service.verifying import verify_bundle

    with working():
        found = verify_bundle(bundle)
    if as_json:
        print_json(found)
    else:
        _print_findings(found)
    if not found["ok"]:
        raise typer.Exit(FAILED)


def _print_findings(found: dict[str, Any]) -> None:
    from tuner.cli.output import print_table

    for problem in found["files"]:
        print(problem)
    if found["claims"]:
        headers = ["metric", "claimed", "measured now", ""]
        print_table(headers, [_claim(claim) for claim in found["claims"]])
    for text in found["notes"]:
        print(text)
    verdict = "holds" if found["claims"] else "its files are whole; no claim was measured"
    print(f"{found['bundle']}: {verdict if found['ok'] else 'does NOT hold'}")


def _claim(claim: dict[str, Any]) -> list[str]:
    def spread(values: dict[str, float] | None) -> str:
        if values is None:
            return "–"
        exact = values["low"] == values["high"]
        return f"{values['value']:.4g}" + (
            "" if exact else f"  ({values['low']:.4g} to {values['high']:.4g})"
        )

    return [
        claim["metric"],
        spread(claim["claimed"]),
        spread(claim["measured"]),
        {True: "ok", False: "NO", None: "not judged"}[claim["holds"]],
    ]
