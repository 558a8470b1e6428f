"""Nearest: the known name that a wrong one was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Return the known name closest to `name`, or None if none resembles it."""
    by_lower = {k.lower().replace("-", "_"): k for k in known}
    found = difflib.get_close_matches(name.lower().replace("-", "_"), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)`, or where nothing is near, what there is: `; known are …`."""
    names = [str(k) for k in known]
    guess = nearest(name, names)
    if guess:
        return f" (did you mean {guess!r}?)"
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"; known are: {listed}" if names else ""
