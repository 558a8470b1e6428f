"""Gate: whether a new shape is measured before it is trained, and whether what was measured is worth training.

Latency and memory hang on the structure, not on the weights. What an untrained build shows may save the recovery; but
it is a second build, and where the latency can be told from the study so far it would be paid for nothing.
"""

from __future__ import annotations

from random import Random

import numpy as np

from tuner.metrics import Estimate, Metrics
from tuner.search.aware.costs import Remaining
from tuner.search.aware.history import Item
from tuner.search.aware.options import Options
from tuner.search.aware.outlook import Outlook
from tuner.search.objective import is_clocked

_QUANTILES = np.array([-1.5, -1.0, -0.6, -0.3, 0.0, 0.3, 0.6, 1.0, 1.5])  # of a normal, about equally likely
NOTHING = 1e-6  # a gain that is none


def looks_first(outlook: Outlook, item: Item, remaining: Remaining, options: Options) -> bool:
    """Say whether to build and measure a candidate untrained: what that saves, on average, is more than it costs."""
    if not options.gate or not remaining.student:
        return False
    saved = remaining.student + remaining.build + remaining.quality
    extra = remaining.build + remaining.performance
    return _hopeless(outlook, item, options) * saved > extra


def _hopeless(outlook: Outlook, item: Item, options: Options) -> float:
    """Return how likely a measurement is to show that the candidate is beyond hope."""
    beliefs = {name: outlook.believed(name, item) for name in outlook.beliefs if is_clocked(name)}
    found = []
    for z in _QUANTILES:
        known: Metrics = {
            name: Estimate.exact(float(np.exp(mean + z * deviation)))
            for name, (mean, deviation) in beliefs.items()
        }
        found.append(outlook.hopeful(item, known, options.sigmas) <= NOTHING)
    return float(np.mean(found))


def refused(outlook: Outlook, item: Item, measured: Metrics, options: Options, seed: int) -> str | None:
    """Return why a candidate, measured untrained, is not worth its training; None if it is, or is let through."""
    if outlook.hopeful(item, measured, options.sigmas) > NOTHING:
        return None
    if Random(f"{seed}:{item.hash}").random() < options.let_through:
        return None
    shown = ", ".join(
        f"{name} {e.value:.3g}" for name, e in measured.items() if e is not None and name in outlook.beliefs
    )
    better = " and ".join(name for name in outlook.goal.objectives if not is_clocked(name))
    return (
        f"beaten before training: with {shown} even the best {better} that its shape could have adds nothing"
    )
