"""Remarks: what preparing a study did to the user's data, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LEFT_OUT = {
    "empty": "without text",
    "duplicates": "duplicate",
    "conflicting": "with two labels",
    "other_classes": "of other classes",
    "beyond_limit": "beyond the limit",
}


def remarks(data: Mapping[str, Any]) -> list[str]:
    """Return one sentence on each thing that a user may not expect; `data` is what encoding reported."""
    counts, found = data["documents"], []
    left_out = [f"{counts[name]} {what}" for name, what in _LEFT_OUT.items() if counts.get(name)]
    if left_out:
        found.append(f"data: {counts['read']} documents read, left out: {', '.join(left_out)}")
    if counts.get("not_utf8"):
        found.append(f"data: {counts['not_utf8']} documents are not UTF-8 and were read as Windows-1252")
    cut, total = sum(data["truncated"].values()), sum(counts[name] for name in data["truncated"])
    if cut:
        found.append(f"data: {cut} of {total} texts are longer than {data['max_length']} tokens and were cut")
    return found
