"""`tuner submit`, and what is asked of a submitted study or its trials: pause, resume, cancel, retry and so on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli.run import seconds
from tuner.cli.study import Json, Name

if TYPE_CHECKING:
    from tuner.service.steering import Change

Number = Annotated[int, typer.Argument(help="number of a trial", min=0, show_default=False)]


def submit(
    study: Annotated[Path, typer.Argument(help="study file", show_default=False)],
    trials: Annotated[int | None, typer.Option(min=1, help="distinct candidates to measure")] = None,
    timeout: Annotated[
        float | None, typer.Option(parser=seconds, metavar="SPAN", help="time to search: 90s, 10m, 1h30m")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="of splits, training and sampler")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="any field: measure.seconds=4")
    ] = None,
    as_json: Json = False,
) -> None:
    """Queue a study for workers; one that was stopped goes on.

    Follow it with `tuner status`; its front is there at any time with `tuner front`.
    """
    from tuner.service import api
    from tuner.spec.load import errors_placed

    overrides = settings or []
    with errors_placed(study, overrides):
        change = api.submit(study, trials=trials, timeout_s=timeout, seed=seed, overrides=overrides)
    _show(change, as_json)


def pause(name: Name, as_json: Json = False) -> None:
    """Hand out no more trials of a study until it is resumed."""
    from tuner.service import api

    _show(api.pause(name), as_json)


def resume(name: Name, as_json: Json = False) -> None:
    """Let a study go on that was paused, stopped, cancelled or failed."""
    from tuner.service import api

    _show(api.resume(name), as_json)


def stop(name: Name, as_json: Json = False) -> None:
    """Let what runs of a study come to its end, then interrupt it."""
    from tuner.service import api

    _show(api.stop(name), as_json)


def cancel(name: Name, as_json: Json = False) -> None:
    """End a study now, with its trials that run; results are kept."""
    from tuner.service import api

    _show(api.cancel(name), as_json)


def retry(name: Name, trial: Number, as_json: Json = False) -> None:
    """Queue a failed trial again, under a new number."""
    from tuner.service import api

    _show(api.retry(name, trial), as_json)


def discard(
    name: Name,
    trial: Number,
    why: Annotated[str, typer.Option(metavar="TEXT", help="kept with the trial", show_default=False)],
    as_json: Json = False,
) -> None:
    """Take a trial out of front and search; it stays on record."""
    from tuner.service import api

    _show(api.discard(name, trial, why), as_json)


def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    as_json: Json = False,
) -> None:
    """Remove a study with all that was measured."""
    from tuner.service import api

    if not yes:
        _ask(name)
    _show(api.delete(name), as_json)


def _ask(name: str) -> None:
    """Let a person on a terminal agree to a removal, or not."""
    from tuner.cli.output import note
    from tuner.errors import InputError
    from tuner.service import api

    (study,) = api.overview(name).studies
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(f"this removes study {name!r} for good, and nobody is there to ask: say --yes")
    count = study.measured + study.failed + study.repeated + study.cancelled
    trials = "1 trial" if count == 1 else f"{count} trials"
    if not typer.confirm(f"Remove study {name} with {trials} for good?", err=True):
        note("nothing was removed")
        raise typer.Exit(1)


def _show(change: Change, as_json: bool) -> None:
    from tuner.cli.output import print_json

    if as_json:
        print_json(change.to_json())
    else:
        print(change.message)
