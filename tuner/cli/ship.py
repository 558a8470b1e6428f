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


def export(
    name: Name,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="directory to write, new or empty", show_default=False)
    ],
    trial: Annotated[int | None, typer.Option(min=0, help="number of a measured trial")] = None,
    pick: Annotated[Pick | None, typer.Option(help="point of the front (default: fastest)")] = None,
    max_accuracy_drop: Annotated[
        float | None, typer.Option(min=0, max=1, help="a fraction: 0.01 is one point")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a bundle that answers without the tuner.

    It holds artefact, tokenizer, requirements.txt, a report, and predict.py with the labels, or chat.py.
    """
    from tuner.cli.output import print_json, working
    from tuner.service import api

    if trial is not None and (pick is not None or max_accuracy_drop is not None):
        raise typer.BadParameter("--trial already names the point: leave --pick and --max-accuracy-drop out")
    with working():
        chosen = api.load(name).pick((pick or Pick.fastest).value, max_accuracy_drop, trial)
        bundle = chosen.export(output)
    if as_json:
        print_json({"bundle": str(bundle), **chosen.row.to_json()})
        return
    print(f"{bundle}: trial {chosen.number}, {chosen.row.candidate.label()}, {_headline(chosen)}")


def _headline(chosen: Any) -> str:
    from tuner.cli.table import interval, latency, times
    from tuner.metrics import is_share

    row, metric = chosen.row, str(chosen.study.spec["metric"])
    quality = row.estimate(metric)
    found = [
        f"{metric} {interval(quality, 100)} %"
        if is_share(metric)
        else f"{metric} {interval(quality, digits=2)}",
        f"{latency(row.estimate('latency_ms'))} ms",
    ]
    return ", ".join([*found, f"{times(row.estimate('speedup'))} the baseline's speed"])


def verify(
    bundle: Annotated[Path, typer.Argument(help="directory of a bundle", show_default=False)],
    as_json: Json = False,
) -> None:
    """Measure a bundle again against its claims.

    Its files are checked against the manifest. A classifier's own predict.py answers the study's test split, and its
    latency is measured beside the study's baseline; a chat model must answer as it did when it was exported.
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
