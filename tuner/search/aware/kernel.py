"""Kernel: how alike two candidates are, as a sum of parts that this space is built of.

One part for the shape, one for the number format on its engine, one for the way to run, weaker ones for what they do
together; and slopes: with how much work there is to do, an engine's own overhead and the use of a second thread change.
How much each part weighs is learnt: the factors on the first guesses that make what was seen likeliest (type II maximum
likelihood, Rasmussen & Williams 2006, section 5.4.1), under a log-normal prior, for a study has few points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_solve
from scipy.linalg.lapack import dpotrf

from tuner.search.objective import is_clocked

_LENGTH = 0.7  # of the shape's part; each coordinate runs from 0 to 1
_STEPS = (2.0, 1.3)  # factors by which a weight is tried larger and smaller, one round each
_SPREAD = 0.7  # standard deviation of a weight's logarithm, before anything is seen
_MOST = 300  # observations that weights are learnt from


@dataclass(frozen=True)
class Coordinates:
    """Candidates as arrays: shape (n, 3), log of the work (n,), a first guess at a format's log latency
    (n,), numbers (n,) of what they have in common, and log of the cores (n,). `weights` is `form` but for method and
    KV cache."""

    shape: np.ndarray
    work: np.ndarray
    guess: np.ndarray
    engine: np.ndarray
    weights: np.ndarray
    form: np.ndarray
    run: np.ndarray
    student: np.ndarray
    cores: np.ndarray


@dataclass(frozen=True)
class Parts:
    """Standard deviations of the parts, in the metric's own (logarithmic) unit."""

    level: float
    shape: float
    student: float
    form: float
    run: float
    together: float
    slope: float
    noise: float


#: Latencies and the like, as logarithms; and shares such as accuracy, which hang on the shape alone but for noise.
CLOCKED = Parts(level=1.0, shape=0.3, student=0.05, form=0.8, run=0.4, together=0.15, slope=0.15, noise=0.05)
SHARE = Parts(
    level=0.01, shape=0.012, student=0.004, form=0.003, run=0.0, together=0.003, slope=0.0, noise=0.0005
)
#: Logarithms of perplexity, and agreement: these hang on the number format as well.
PERPLEXITY = Parts(
    level=0.2, shape=0.4, student=0.05, form=0.15, run=0.0, together=0.05, slope=0.0, noise=0.002
)
AGREEMENT = Parts(
    level=0.2, shape=0.2, student=0.05, form=0.15, run=0.0, together=0.05, slope=0.0, noise=0.02
)
_LEARNT = ("shape", "student", "form", "run", "together", "slope", "noise")


def components(a: Coordinates, b: Coordinates) -> dict[str, np.ndarray]:
    """Return each part's matrix (len(a), len(b)) for a weight of one."""
    distance = ((a.shape[:, None, :] - b.shape[None, :, :]) ** 2).sum(-1)
    near = np.exp(-0.5 * distance / _LENGTH**2)
    engine, weights, same, run, student = (
        (getattr(a, name)[:, None] == getattr(b, name)[None, :]).astype(float)
        for name in ("engine", "weights", "form", "run", "student")
    )
    form = 0.5 * weights + 0.5 * same  # another method, or another cache, is a good part of the way alike
    work = a.work[:, None] * b.work[None, :]
    return {
        "level": np.ones_like(near),
        "shape": near,
        "student": student,
        "form": 0.5 * engine + 0.5 * form,  # formats of one engine have something in common
        "run": run,
        "together": form * near + run * engine,
        "slope": work * (engine + run * engine),
    }


def variance(parts: Parts, at: Coordinates) -> np.ndarray:
    """Return the prior variance (n,) of candidates."""
    p = parts
    flat = p.level**2 + p.shape**2 + p.student**2 + p.form**2 + p.run**2 + 2 * p.together**2
    return flat + 2 * p.slope**2 * at.work**2


def weighed(parts: Parts, found: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the kernel: the parts' matrices, each by its weight squared."""
    return np.asarray(sum(getattr(parts, name) ** 2 * matrix for name, matrix in found.items()))


def learnt(first: Parts, at: Coordinates, values: np.ndarray, error: np.ndarray) -> Parts:
    """Return the parts under which the values (n,), each off by a known `error` (n,) and noise, are likeliest."""
    count = min(len(values), _MOST)
    own = Coordinates(*(getattr(at, name)[:count] for name in Coordinates.__dataclass_fields__))
    found, values, error = components(own, own), values[:count], error[:count]
    best, score = first, _score(first, first, found, values, error)
    for step in _STEPS:
        for name in _LEARNT:
            for factor in (step, 1 / step):
                tried = replace(best, **{name: getattr(best, name) * factor})
                if (other := _score(tried, first, found, values, error)) > score:
                    best, score = tried, other
    return best


def _score(
    parts: Parts, first: Parts, found: Mapping[str, np.ndarray], values: np.ndarray, error: np.ndarray
) -> float:
    """Return the log of the likelihood times the prior."""
    kernel = weighed(parts, found)
    kernel[np.diag_indices_from(kernel)] += parts.noise**2 + error**2 + 1e-10
    factor, broken = dpotrf(kernel, lower=1)
    if broken:
        return -np.inf
    fit = values @ cho_solve((factor, True), values)
    logs = [np.log(getattr(parts, n) / getattr(first, n)) for n in _LEARNT if getattr(first, n)]
    return float(-0.5 * fit - np.log(np.diag(factor)).sum() - 0.5 * np.square(logs).sum() / _SPREAD**2)


def prior(metric: str) -> Parts:
    """Return the parts of a metric before anything of it is seen."""
    if is_clocked(metric):
        return CLOCKED
    return {"perplexity": PERPLEXITY, "agreement": AGREEMENT}.get(metric, SHARE)


__all__ = ["Coordinates", "Parts", "components", "learnt", "prior", "variance", "weighed"]
