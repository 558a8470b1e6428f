"""`tuner status`: workers, studies, and what waits for a worker that is not there; once, or as it changes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli.study import Json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tuner.service.lines import Overview, StudyLine, WorkerLine

_EVERY = 2.0  # seconds
_SHOWN = 10  # studies that are over, the last changed first; the others are in `tuner list`
_FORGET = 3600.0  # seconds after which a worker that left is not shown
_DOING = {"queued": "prepares", "confirming": "confirms"}  # a coordinator that takes its time
_WORKER = ["worker", "state", "host", "at work on", "last heard"]
_STUDY = ["study", "state", "done", "queued", "running", "failed", "repeated", "best", "loss", "hypervolume",
          "time left", "coordinator"]  # fmt: skip
_EXPENDABLE = "coordinator,repeated,hypervolume,loss,time left,queued"


def status(
    name: Annotated[str | None, typer.Argument(help="only this study", show_default=False)] = None,
    watch: Annotated[bool, typer.Option("--watch", help="show it again as it changes, until Ctrl-C")] = False,
    as_json: Json = False,
) -> None:
    """Show workers, studies, and what waits for a worker."""
    from tuner.cli.output import print_json
    from tuner.service import api

    if watch:
        _watch(name, as_json)
    elif as_json:
        print_json(api.overview(name).to_json())
    else:
        _print(api.overview(name), name)


def _print(overview: Overview, name: str | None) -> None:
    from tuner.cli.output import print_table

    workers, studies = _worker_rows(overview, name), _studies(overview)
    if workers:
        print_table(_WORKER, workers)
        print()
    if studies:
        print_table(_STUDY, [_study(study) for study in studies], expendable=_EXPENDABLE)
    for line in _rest(overview, studies):
        print(line)


def _rest(overview: Overview, shown: Sequence[StudyLine]) -> list[str]:
    """Return the lines below the tables."""
    lines = [] if overview.studies else ["no study yet; submit one: tuner submit studies/quickstart.yaml"]
    hidden = len(overview.studies) - len(shown)
    lines += [f"and {hidden} more that are over: tuner list"] if hidden else []
    return lines + [note.message for note in overview.notes]


def _workers(overview: Overview, name: str | None) -> list[WorkerLine]:
    """Return the workers worth showing: for one study those that are there or have something of it."""
    recent = [w for w in overview.workers if w.state != "gone" or w.silent_s < _FORGET]
    if name is None:
        return recent
    return [
        w for w in recent if w.state == "alive" or name in [*w.coordinates, *(study for study, _ in w.trials)]
    ]


def _studies(overview: Overview) -> list[StudyLine]:
    """Return the studies that go on, then the last of those that are over."""
    over = [study for study in overview.studies if not study.is_open]
    return [study for study in overview.studies if study.is_open] + over[:_SHOWN]


def _worker(line: WorkerLine, states: Mapping[str, str]) -> list[str]:
    from tuner.cli.progress import duration

    tasks = [f"{study} trial {trial}" for study, trial in line.trials]
    tasks += [f"{_DOING[state]} {s}" for s in line.coordinates if (state := states.get(s, "")) in _DOING]
    heard = "now" if line.silent_s < 1 else f"{duration(line.silent_s)} ago"
    return [line.name, line.state, line.host or "–", ", ".join(tasks) or "–", heard]


def _worker_rows(overview: Overview, name: str | None) -> list[list[str]]:
    states = {study.name: study.state for study in overview.studies}
    return [_worker(worker, states) for worker in _workers(overview, name)]


def _study(line: StudyLine) -> list[str]:
    from tuner.cli.progress import duration
    from tuner.metrics import LOSS
    from tuner.spec.wording import loss_text

    return [
        line.name,
        line.state,
        f"{line.done} of {line.total}" if line.total else str(line.done),
        *(str(count) for count in (line.queued, line.running, line.failed, line.repeated)),
        _number(line.best_speedup, "{:.1f}x"),
        "–" if line.loss is None else loss_text(LOSS[line.metric], line.loss),
        _number(line.hypervolume, "{:.3f}"),
        "–" if line.seconds_left is None else duration(line.seconds_left),
        line.coordinator or "–",
    ]


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _watch(name: str | None, as_json: bool) -> None:
    """Show the overview again and again; with a name, until that study is over."""
    from tuner.cli.output import console

    screen = console()
    if screen.is_terminal and not screen.is_dumb_terminal and not as_json:
        _live(name)
        return
    before: Any = None
    for overview in _looks(name):
        now = _lasting(overview)
        if now != before:
            _say(overview, name, as_json)
        before = now


def _say(overview: Overview, name: str | None, as_json: bool) -> None:
    """Print an overview, as one line of JSON or as tables."""
    if as_json:
        print(json.dumps(overview.to_json(), ensure_ascii=False), flush=True)
        return
    print(time.strftime("%H:%M:%S"))
    _print(overview, name)
    print(flush=True)


def _looks(name: str | None) -> Iterator[Overview]:
    from tuner.service import api

    while True:
        overview = api.overview(name)
        yield overview
        if name is not None and not overview.studies[0].is_open:
            return
        time.sleep(_EVERY)


def _lasting(overview: Overview) -> Any:
    """Return what of an overview is no clock."""
    plain = overview.to_json()
    for line in [*plain["workers"], *plain["studies"]]:
        for clock in ("silent_s", "seconds_left", "updated", "coordinator", "coordinates"):
            line.pop(clock, None)
    return plain


def _live(name: str | None) -> None:
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        for overview in _looks(name):
            live.update(_drawn(overview, name, live.console.width), refresh=True)


def _drawn(overview: Overview, name: str | None, width: int) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    workers, studies = _worker_rows(overview, name), _studies(overview)
    parts: list[RenderableType] = []
    if workers:
        parts += [_grid(_WORKER, workers, width, ""), ""]
    if studies:
        parts += [_grid(_STUDY, [_study(study) for study in studies], width, _EXPENDABLE)]
    below = [*_rest(overview, studies), f"as of {time.strftime('%H:%M:%S')}; Ctrl-C leaves"]
    return Group(*parts, *(Text(line) for line in below))


def _grid(headers: list[str], rows: list[list[str]], width: int, expendable: str) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    from tuner.cli.output import _fitting

    kept, _, _ = _fitting(headers, rows, width, expendable.split(","))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for i in kept:
        table.add_column(Text(headers[i], "bold"), no_wrap=True)
    for row in rows:
        table.add_row(*(Text(row[i]) for i in kept))
    return table
