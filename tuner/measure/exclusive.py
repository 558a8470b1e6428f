"""Exclusive: whether a measurement had its GPUs to itself.

Our own builds and measurements take turns by the machine's lock. Of others we can only wait until they pause, and say
of a measurement that they computed beside it: its ratio was taken beside a reference that they slowed as well, its
joules are theirs too.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from tuner.gpus import Gpu
from tuner.measure.gpu import our_processes, strangers

PATIENCE = 60.0  # seconds that a measurement waits for others to pause
_LOOK = 1.0  # seconds over which it is looked whether somebody computes: drivers sample some times a second


def wait_for(cards: Sequence[Gpu], patience: float = PATIENCE) -> None:
    """Wait until nobody else computes on the cards, or no longer than `patience` seconds."""
    end = time.monotonic() + patience
    while cards and time.monotonic() < end:
        since = time.time()
        time.sleep(_LOOK)
        if not shared(cards, since):
            return


def shared(cards: Sequence[Gpu], since: float) -> list[str] | None:
    """Return who else computed on the cards since a moment (of `time.time()`); [] if nobody, None: not to be known."""
    ours = our_processes()
    found = [strangers(card, since, ours) for card in dict.fromkeys(cards)]
    if all(one is None for one in found) and found:
        return None
    return [text for one in found for text in one or ()]
