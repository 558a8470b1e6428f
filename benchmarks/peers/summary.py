"""What the comparison says: a hypervolume for each peer, its fastest point within a tolerance, and ours over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchmarks.peers.measuring import Measured
from tuner.metrics import Estimate
from tuner.search.hypervolume import hypervolume

TOLERANCE = 0.01  # of accuracy, against the fp32 model on the same test documents
#: The box of the hypervolume: accuracy from two points below the baseline's (what a user may come to terms with) to
#: two points above it, latency on a logarithmic scale from the baseline's to a hundredth of it.
FLOOR, SPAN = 0.02, 100.0


def volume(found: Sequence[Measured]) -> float:
    """Return the share of the box, 0 to 1, that these points take; the baseline itself takes nothing."""
    losses = [
        (
            max(math.log(one.ratio.value) / math.log(SPAN) + 1, 0.0),
            max((one.quality.drop.value + FLOOR) / (2 * FLOOR), 0.0),
        )
        for one in found
    ]
    return hypervolume(losses, (1.0, 1.0))


def fastest(found: Sequence[Measured], tolerance: float = TOLERANCE) -> Measured | None:
    """Return the fastest point that loses so much accuracy at most, None where none does."""
    within = [one for one in found if one.quality.drop.value <= tolerance + 1e-9]
    return min(within, key=lambda one: one.ratio.value, default=None)


def times_faster(ours: Measured, theirs: Measured) -> Estimate:
    """Return how many times faster ours is; both are ratios to one reference, so their logarithms' errors add up."""
    log = math.log(theirs.ratio.value / ours.ratio.value)
    half = math.hypot(_log_half(ours.ratio), _log_half(theirs.ratio))
    return Estimate(value=math.exp(log), low=math.exp(log - half), high=math.exp(log + half))


def _log_half(ratio: Estimate) -> float:
    return math.log(ratio.high / ratio.low) / 2 if ratio.low > 0 and math.isfinite(ratio.high) else math.inf


def verdict(by_peer: dict[str, list[Measured]], ours: str) -> dict[str, Any] | None:
    """Return our fastest point within the tolerance against the best of the peers', None where one is missing."""
    own = fastest(by_peer.get(ours, []))
    others = [one for name, found in by_peer.items() if name != ours and (one := fastest(found))]
    if own is None or not others:
        return None
    best = min(others, key=lambda one: one.ratio.value)
    return {
        "ours": own.subject.label,
        "best_peer": best.subject.peer,
        "best_peer_artefact": best.subject.label,
        "times_faster": times_faster(own, best).model_dump(),
    }
