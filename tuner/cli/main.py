"""The `tuner` command. Commands import what they need when they run: `tuner --help` is instant."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from tuner.cli.compare import compare
from tuner.cli.dashboard import dashboard
from tuner.cli.database import db
from tuner.cli.grouped import Grouped
from tuner.cli.guard import guarded
from tuner.cli.host import backends
from tuner.cli.keep import doctor, gc
from tuner.cli.run import run
from tuner.cli.serve import serve
from tuner.cli.ship import export, verify
from tuner.cli.status import status
from tuner.cli.steer import cancel, delete, discard, pause, resume, retry, stop, submit
from tuner.cli.study import front, list_studies, show
from tuner.cli.studyfile import schema, validate
from tuner.cli.worker import worker

app = typer.Typer(
    name="tuner",
    cls=Grouped,
    help="Finds the fastest combination of compression, parallelism and engine for a transformer.",
    epilog="Exit codes: 0 done, 1 failure, 2 bad input, 3 no feasible trial, 4 not found, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_SEARCH, _SERVICE, _STEER, _HOST = "Commands", "Service", "Studies and trials", "This host"
_GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    _SEARCH: {
        "run": run,
        "front": front,
        "show": show,
        "compare": compare,
        "export": export,
        "verify": verify,
        "serve": serve,
        "list": list_studies,
    },
    _SERVICE: {"submit": submit, "worker": worker, "status": status, "dashboard": dashboard},
    _STEER: {verb.__name__: verb for verb in (pause, resume, stop, cancel, retry, discard, delete)},
    _HOST: {"validate": validate, "schema": schema, "backends": backends, "doctor": doctor, "gc": gc},
}
for _group, _commands in _GROUPS.items():
    for _name, _command in _commands.items():
        app.command(_name, rich_help_panel=_group)(_command)
app.add_typer(db, name="db", rich_help_panel=_HOST)


def _version(asked: bool) -> None:
    if asked:
        import importlib.metadata

        print(importlib.metadata.version("tuner"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Parse options that come before the command."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; errors are one line on stderr."""
    command = typer.main.get_command(app)
    given = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: command.main(args=given, prog_name="tuner", standalone_mode=False))


if __name__ == "__main__":
    sys.exit(main())
