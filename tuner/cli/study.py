"""`tuner front`, `tuner list` and `tuner show`: what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tuner.candidate import Candidate
    from tuner.service.lines import StudyLine
    from tuner.service.rows import TrialRow

Name = Annotated[str, typer.Argument(help="name of a study; `tuner list` shows them", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="print JSON and nothing else")]


def front(
    name: Name,
    where: Annotated[
        str | None, typer.Option(metavar="TEXT", help='such as "latency_ms<=5 and accuracy_drop<=0.01"')
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="every measured trial, not only the front")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print a study's front.

    It is the confirmed one, measured on the test split, where the study came to its end. With --all the last
    column says who is tied with it: dominated by less than the noise.
    """
    from tuner.cli.output import print_json
    from tuner.cli.run import infeasible
    from tuner.cli.table import print_front
    from tuner.errors import NoFeasibleTrialError
    from tuner.service import api

    study = api.load(name)
    rows = _all(study.rows(), where) if everything else study.front_rows(where)
    if as_json:
        print_json([row.to_json() for row in rows])
    elif rows:
        print_front(study, rows, everything)
    if not rows:
        raise NoFeasibleTrialError(
            f"study {name!r}: no feasible trial meets {where}" if where else infeasible(study)
        )


def _all(rows: list[TrialRow], where: str | None) -> list[TrialRow]:
    from tuner.spec.constraint import parse_where

    wanted = parse_where(where) if where else []
    kept = [row for row in rows if row.state == "complete"]
    return [row for row in kept if all(_met(c.violation(row.shown)) for c in wanted)]


def _met(violation: float | None) -> bool:
    return violation is not None and violation <= 0


def list_studies(as_json: Json = False) -> None:
    """List the stored studies, the last changed first."""
    from tuner.cli.output import note, print_json, print_table
    from tuner.service import api

    found = api.list_studies()
    if as_json:
        print_json([line.to_json() for line in found])
    elif not found:
        note("no study yet; start one: tuner run studies/quickstart.yaml")
    else:
        headers = ["study", "state", "measured", "failed", "front", "best speedup", "last change"]
        print_table(headers, [_line(line) for line in found])


def _line(line: StudyLine) -> list[str]:
    best = "–" if line.best_speedup is None else f"{line.best_speedup:.1f}x"
    front_size = f"{line.on_front}{' confirmed' if line.confirmed else ''}"
    changed = line.updated.astimezone().strftime("%Y-%m-%d %H:%M")
    return [line.name, line.state, str(line.measured), str(line.failed), front_size, best, changed]


def show(
    name: Name,
    trial: Annotated[int, typer.Argument(help="number of a trial", min=0, show_default=False)],
    as_json: Json = False,
) -> None:
    """Show all about one trial.

    Its candidate and how that differs from the baseline, metrics with intervals, stages with cache hits, and why it
    failed.
    """
    from tuner.cli.output import print_json
    from tuner.service import api

    study = api.load(name)
    row = study.row(trial)
    if as_json:
        print_json({**row.to_detail(), "differs_from_baseline": _changes(row, study.baseline)})
    else:
        _print_trial(name, row, study.baseline)


def _print_trial(name: str, row: TrialRow, baseline: Candidate | None) -> None:
    from tuner.cli.output import print_table

    print(f"{name}, trial {row.number}: {', '.join(filter(None, (row.state, _verdict(row))))}")
    if row.reason:
        print(f"reason: {row.reason}")
    print(f"host: {row.host or 'unknown'}")
    _print_candidate(row, baseline)
    if row.metrics or row.confirmed:
        print_table(["metric", "search (validation)", "confirmed (test)"], _metric_lines(row), "\nMetrics")
    if row.stages:
        lines = [[s["name"], "cached" if s["hit"] else "run", f"{s['seconds']:.2f} s"] for s in row.stages]
        print_table(["stage", "cache", "took"], lines, "\nStages")
    if row.log_tail:
        print(f"\nLast lines of its log\n{row.log_tail}")


def _verdict(row: TrialRow) -> str:
    if row.state != "complete" or row.discarded:
        return "" if row.state != "complete" else f"discarded: {row.discarded}"
    if row.standing is not None:
        return row.standing.text()
    return "not measured in every objective" if row.feasible else "misses a constraint"


def _print_candidate(row: TrialRow, baseline: Candidate | None) -> None:
    """Print the five parts; a value that differs from the baseline's is followed by the baseline's."""
    changed = row.differences(baseline)
    for part, fields in row.candidate.canonical().items():
        values = [
            f"{key} {value}" + (f" (baseline {changed[at][0]})" if (at := f"{part}.{key}") in changed else "")
            for key, value in fields.items()
            if value is not None
        ]
        print(f"{part}: {', '.join(values)}")
    if row.candidate == baseline:
        print("this is the baseline")


def _changes(row: TrialRow, baseline: Candidate | None) -> dict[str, Any] | None:
    """Return the differences as JSON-able data, null where the study has no baseline yet."""
    if baseline is None:
        return None
    return {name: {"baseline": base, "trial": own} for name, (base, own) in row.differences(baseline).items()}


def _metric_lines(row: TrialRow) -> list[list[str]]:
    from tuner.metrics import METRICS
    from tuner.spec.wording import unit_text

    names = [n for n in METRICS if row.metrics.get(n) or (row.confirmed or {}).get(n)]
    return [[unit_text(n), *(_spread(m.get(n)) for m in (row.metrics, row.confirmed or {}))] for n in names]


def _spread(estimate: Any) -> str:
    if estimate is None:
        return "–"
    exact = estimate.low == estimate.high
    return f"{estimate.value:.4g}" + ("" if exact else f"  ({estimate.low:.4g} to {estimate.high:.4g})")
