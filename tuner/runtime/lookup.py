"""Prompt lookup: what followed the same words earlier is drafted.

Saxena 2023, "Prompt Lookup Decoding"; Yang et al. 2023, "Inference with Reference" (arXiv 2304.04487).
"""

from __future__ import annotations

from collections.abc import Sequence

#: Tokens that must repeat, the more the better. After a single one anything may follow: drafts would mostly be wrong.
_LONGEST, _SHORTEST = 3, 2


def propose(known: Sequence[int], most: int) -> list[int]:
    """Return what followed the last tokens when they were met before, the latest time; nothing if they never were."""
    for length in range(min(_LONGEST, len(known) - 1), _SHORTEST - 1, -1):
        last = list(known[-length:])
        for start in range(len(known) - length - 1, -1, -1):
            if list(known[start : start + length]) == last:
                return list(known[start + length : start + length + max(most, 0)])
    return []
