"""Output: results on stdout, everything else on stderr, and JSON alone where it was asked for."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_GAP = 2  # between two columns of a drawn table
_PROSE = 32  # the last column may hold sentences: it is wrapped, down to this width


def print_json(data: Any) -> None:
    """Print JSON on stdout."""
    print(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False, default=str))


def note(text: str) -> None:
    """Say something on stderr."""
    print(text, file=sys.stderr)


def console(stderr: bool = False) -> Console:
    """Return a console of rich; it writes plain text where there is no terminal, or with NO_COLOR."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, emoji=False)


@contextlib.contextmanager
def working() -> Iterator[None]:
    """Send what libraries print while something runs to stderr: stdout is for the result."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", expendable: str = ""
) -> None:
    """Print rows of text: a drawn table on a terminal, aligned columns elsewhere.

    `expendable` names columns, the first to go first, that are left out where a terminal is too narrow.
    """
    screen = console()
    if screen.is_terminal and not screen.is_dumb_terminal:
        _drawn(screen, headers, rows, title, expendable.split(","))
    else:
        _plain(headers, rows, title)


def _plain(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    if title:
        print(title)
    widths = [max(len(cell) for cell in column) for column in zip(headers, *rows, strict=True)]
    for row in (headers, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _drawn(
    screen: Console, headers: Sequence[str], rows: Sequence[Sequence[str]], title: str, expendable: list[str]
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    kept, left_out, fits = _fitting(headers, rows, screen.width, expendable)
    if not fits:  # lines that the terminal wraps are still whole; cells cut short are not
        _plain(headers, rows, title)
        return
    table = Table(
        title=title or None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    last = len(headers) - 1
    for i in kept:
        table.add_column(Text(headers[i]), no_wrap=i != last, overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[i]) for i in kept))
    screen.print(table)
    if left_out:
        note(f"left out for want of width: {', '.join(left_out)} (--json has them)")


def _fitting(
    headers: Sequence[str], rows: Sequence[Sequence[str]], width: int, expendable: list[str]
) -> tuple[list[int], list[str], bool]:
    """Return the columns that fit the width, the names of those that had to go, and if that was enough."""
    widths = [max(len(cell) for cell in column) + _GAP for column in zip(headers, *rows, strict=True)]
    widths[-1] = min(widths[-1], _PROSE)
    kept, left_out = list(range(len(headers))), list[str]()
    for name in (name for name in expendable if name in headers):
        if sum(widths[i] for i in kept) <= width:
            break
        kept.remove(list(headers).index(name))
        left_out.append(name)
    return kept, left_out, sum(widths[i] for i in kept) <= width
