"""`tuner run`: search a study, show how it goes, then the front."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tuner.service.handle import StudyHandle
    from tuner.service.rows import TrialRow

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


class Executor(StrEnum):
    """Who runs a study's trials."""

    local = "local"
    ray = "ray"


def seconds(text: str) -> float:
    """Read a time span: `90`, `90s`, `10m`, `1h30m`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(min|s|m|h)?", text)
    if not parts or "".join(a + b for a, b in parts) != re.sub(r"\s", "", text):
        raise typer.BadParameter(f"{text!r} is no time span; write for example 90s, 10m or 1h30m")
    total = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if total <= 0:
        raise typer.BadParameter("must be longer than nothing")
    return total


def run(
    study: Annotated[
        Path, typer.Argument(help="study file, such as studies/quickstart.yaml", show_default=False)
    ],
    trials: Annotated[int | None, typer.Option(min=1, help="distinct candidates to measure")] = None,
    timeout: Annotated[
        float | None, typer.Option(parser=seconds, metavar="SPAN", help="time to search: 90s, 10m, 1h30m")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="of splits, training and sampler")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="any field: measure.seconds=4")
    ] = None,
    executor: Annotated[
        Executor, typer.Option(help="who runs the trials: this process, or the nodes of a Ray cluster")
    ] = Executor.local,
    address: Annotated[
        str | None, typer.Option(help="of the Ray cluster; default: this machine's, or a new one on it")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the front as JSON and nothing else")] = False,
) -> None:
    """Search a study and print its confirmed front.

    A study that was stopped goes on where it was. The front is also drawn as a PNG.

    The nodes of a Ray cluster need the tuner, the study's data and model, and the database: PostgreSQL (TUNER_DB), or
    SQLite where they share the file system.

    Ctrl-C finishes the trial at hand and keeps everything; a second one aborts that trial.
    """
    from tuner.cli.output import working
    from tuner.cli.progress import Progress
    from tuner.service import api
    from tuner.spec.load import errors_placed

    if address is not None and executor is not Executor.ray:
        raise typer.BadParameter("goes with --executor ray only", param_hint="--address")
    overrides = settings or []
    with working(), errors_placed(study, overrides), Progress() as progress:
        found = api.run(
            study,
            trials=trials,
            timeout_s=timeout,
            seed=seed,
            overrides=overrides,
            on_event=progress,
            executor=executor.value,
            address=address,
        )
    show_end(found, as_json)


def show_end(study: StudyHandle, as_json: bool) -> None:
    """Print the front of a study that ended; raise what its exit code says."""
    from tuner.cli.guard import INTERRUPTED
    from tuner.cli.output import note, print_json
    from tuner.cli.table import print_front
    from tuner.errors import NoFeasibleTrialError

    rows = study.front_rows()
    if as_json:
        print_json([row.to_json() for row in rows])
    elif rows:
        print_front(study, rows)
        print(f"drawn: {study.default_plot}")
    if study.interrupted:
        note("interrupted; the same command goes on where it stopped")
        raise typer.Exit(INTERRUPTED)
    if not rows:
        raise NoFeasibleTrialError(infeasible(study))


def infeasible(study: StudyHandle) -> str:
    """Return one line that says why there is no front, and how near the nearest trial came."""
    measured = [row for row in study.rows() if row.state == "complete"]
    failed = next((row for row in study.rows() if row.reason), None)
    if not measured:
        why = f"; trial {failed.number}: {failed.reason.splitlines()[0]}" if failed and failed.reason else ""
        return f"study {study.name!r} has no measured trial{why}"
    asked = " and ".join(study.spec["constraints"]) or "what its objectives need"
    near = _nearest(study, measured)
    return f"study {study.name!r}: none of {len(measured)} measured trials meets {asked}{near}"


def _nearest(study: StudyHandle, rows: list[TrialRow]) -> str:
    """Return the trial that misses its worst constraint by the least, relative to the bound."""
    from tuner.spec.constraint import parse_constraint

    constraints = [parse_constraint(text) for text in study.spec["constraints"]]
    found: list[tuple[float, int, str]] = []
    for row in rows:
        missed = [(c, c.violation(row.shown)) for c in constraints]
        known = [(v / (abs(c.bound) or 1.0), c.metric) for c, v in missed if v is not None]
        if known and len(known) == len(missed):
            worst, metric = max(known)
            estimate = row.estimate(metric)
            found.append((worst, row.number, f"{metric} {estimate.value:.4g}" if estimate else metric))
    return f"; the nearest is trial {min(found)[1]} with {min(found)[2]}" if found else ""
