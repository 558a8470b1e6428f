"""`tuner validate` and `tuner schema`: what a study file may say, and whether one says it."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from tuner.cli.study import Json


class Which(enum.StrEnum):
    """The schemas there are."""

    study = "study"
    front = "front"


def validate(
    study: Annotated[Path, typer.Argument(help="study file", show_default=False)],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="as for `tuner run`")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a study file.

    Every problem is named with file, line and field. Runs and downloads nothing.
    """
    from tuner.cli.output import print_json
    from tuner.errors import InputError
    from tuner.spec.load import load_spec
    from tuner.spec.model import GENERATION

    try:
        spec = load_spec(study, settings or [])
    except InputError as error:
        if as_json:
            print_json({"valid": False, "problems": str(error).splitlines()})
        raise
    if as_json:
        print_json({"valid": True, "problems": [], "study": spec.model_dump(mode="json")})
    else:
        print(f"{study}: valid; study {spec.name!r}, {spec.budget.words()}, {', '.join(spec.objectives)}")
        if spec.task == GENERATION:  # one of them a study has unasked
            print(f"what a point must meet: {' and '.join(spec.constraints)}")


def schema(
    which: Annotated[Which | None, typer.Argument(help="only this one", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="schemas are always JSON")] = True,
) -> None:
    """Print the JSON schemas of the study file and of a front."""
    from tuner.cli.output import print_json
    from tuner.spec.schema import front_schema, study_schema

    made = {Which.study: study_schema, Which.front: front_schema}
    print_json(made[which]() if which else {name.value: make() for name, make in made.items()})
