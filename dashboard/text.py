"""Text that came from outside, made safe to show: no markdown, no HTML, no icons, no endless names."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$&\"'^=])")
_ZERO_WIDTH = "\u200b"
LONGEST = 160


def safe(text: object, longest: int = LONGEST) -> str:
    """Return text for a place that reads markdown (labels, headings, metrics): every sign of it stands for itself.

    A colon is followed by an invisible space: Streamlit would read `:red[x]` and `:material/home:` as its own signs.
    """
    short = cut(text, longest)
    return _SPECIAL.sub(r"\\\1", short).replace(":", f":{_ZERO_WIDTH}")


def cut(text: object, longest: int = LONGEST) -> str:
    """Return one line of at most so many characters, for places that show plain text (tables, charts)."""
    line = "".join(c if c.isprintable() else " " for c in str(text)[: longest * 4])
    return line if len(line) <= longest else line[: longest - 1] + "…"


def block(text: object, longest: int = 20_000) -> str:
    """Return several lines of plain text, the last ones where there are too many."""
    whole = str(text)
    return whole if len(whole) <= longest else "…\n" + whole[-longest:]


def table_height(rows: int, most: int = 14) -> int | str:
    """Return the height of a table: as high as its rows, or that of so many which then scroll."""
    return "content" if rows <= most else 35 * (most + 1) + 3
