"""`tuner worker`: a process that evaluates trials of whatever studies there are."""

from __future__ import annotations

import enum
import logging
import re
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tuner.service.logs import Logs
    from tuner.store import Store

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


class LogFormat(enum.StrEnum):
    """How lines are written."""

    text = "text"
    json = "json"


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise typer.BadParameter(f"{text!r}: write 1 to 100 letters, digits, dots, dashes or underscores")
    return text


def _labels(given: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    for key, sign, value in pairs:
        if not (key and sign and value):
            raise typer.BadParameter(f"--label: {key!r} is no pair; write for example --label rack=a3")
    return {key: value for key, _, value in pairs}


def worker(
    name: Annotated[
        str | None,
        typer.Option(
            parser=_name, metavar="NAME", help="default: the host's name, numbered if that one is at work"
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="leave after one trial")] = False,
    drain: Annotated[bool, typer.Option("--drain", help="leave when there is nothing left to do")] = False,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="KEY=VALUE", help="what studies may require; may be given often"),
    ] = None,
    log_format: Annotated[
        LogFormat, typer.Option(help="lines on stderr: for people, or JSON")
    ] = LogFormat.text,
) -> None:
    """Work on the trials of all studies until it is told to leave.

    SIGTERM or Ctrl-C finishes the trial at hand and leaves; a second one gives that trial back to the queue. One
    worker is enough, any number may run, on any host that reaches the database. One that was killed gets its work back
    when it is started again under its name.
    """
    from tuner.cli.output import working
    from tuner.service.logs import Logs
    from tuner.service.working import named
    from tuner.store import Store

    given = _labels(labels or [])
    with working(), Store.open() as store, named(store, name) as own:
        code = _run(store, own, Logs(own, log_format.value), (once, drain), given)
    raise typer.Exit(code)


def _run(store: Store, name: str, logs: Logs, ends: tuple[bool, bool], labels: dict[str, str]) -> int:
    """Work, and return the exit code; what ends the worker is a line of its log like all others."""
    import signal

    from tuner.cli.guard import INTERRUPTED
    from tuner.errors import TunerError
    from tuner.service.working import work

    try:
        told = work(store, name, logs, *ends, labels=labels)
    except TunerError as error:
        logs.say(str(error), logging.ERROR)
        return error.exit_code
    except KeyboardInterrupt:
        logs.say("told twice: leaves at once")
        return INTERRUPTED
    return INTERRUPTED if told is signal.SIGINT else 0
