"""`tuner gc` and `tuner doctor`: keeping a host in order."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli.study import Json

if TYPE_CHECKING:
    from tuner.service.garbage import Collected
    from tuner.service.machine import Finding

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def size(text: str) -> int:
    """Read a size in bytes: `500MB`, `10GB`, `1.5 TB`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no size; write for example 500MB or 10GB")
    return round(float(match[1]) * _UNITS[match[2]])


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be removed")] = False,
    keep: Annotated[
        int | None,
        typer.Option(
            parser=size, metavar="SIZE", help="leave the last used while the cache is smaller: 10GB"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Remove from the cache what no stored study refers to.

    What a study of this database was measured with stays, and so does what is in use. TUNER_DB names the database: run
    it on the one that this cache's studies are in.
    """
    from tuner.cli.output import print_json
    from tuner.service import api

    found = api.collect_garbage(dry_run=dry_run, keep_bytes=keep or 0)
    if as_json:
        print_json(found.to_json())
    else:
        _print_collected(found)


def _print_collected(found: Collected) -> None:
    from tuner.cli.output import print_table

    kinds = Counter(piece.kind for piece in found.removed)
    sizes: Counter[str] = Counter()
    for piece in found.removed:
        sizes[piece.kind] += piece.size_bytes
    would = "would be " if found.dry_run else ""
    if kinds:
        rows = [[kind, str(kinds[kind]), megabytes(sizes[kind])] for kind, _ in sizes.most_common()]
        print_table(["stage", "entries", "size"], rows)
    print(f"{sum(kinds.values())} entries {would}removed, {megabytes(found.removed_bytes)}")
    if found.leftovers:
        print(f"{len(found.leftovers)} old locks and leftovers of crashes {would}removed")
    stays = f"{found.kept} entries {'would ' if found.dry_run else ''}stay, {megabytes(found.kept_bytes)}"
    print(f"{stays}; stored studies refer to {megabytes(found.referenced_bytes)} of them")


def megabytes(count: float) -> str:
    """Return a size for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _print_findings(findings: list[Finding]) -> None:
    """Print a line for each finding and, below one that is not as it should be, the remedy."""
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        print(f"{finding.state:<7}  {finding.what:<{width}}  {finding.found}")
        if finding.remedy:
            print(f"{'':<{width + 11}}{finding.remedy}")


def doctor(as_json: Json = False) -> None:
    """Say what this host lacks for tuning, and the remedy.

    Makes, migrates and installs nothing. Exit code 1 where tuning cannot work here.
    """
    from tuner.cli.guard import FAILED
    from tuner.cli.output import print_json, working
    from tuner.service.doctor import examine

    with working():
        findings = examine()
    missing = [finding.what for finding in findings if finding.state == "missing"]
    if as_json:
        print_json({"works": not missing, "findings": [finding.to_json() for finding in findings]})
    else:
        _print_findings(findings)
        print(
            f"tuning cannot work here for want of: {', '.join(missing)}" if missing else "tuning works here"
        )
    if missing:
        raise typer.Exit(FAILED)
