"""Costs: what a study will take, from what each stage took in earlier trials and how often it will have to run.

A stage runs once for all candidates that share what it depends on: one teacher's outputs for a study, one recovered
student for every engine and number format, one artefact for every number of threads. All others find it in the cache.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuner.candidate import Candidate
from tuner.search.space import Space
from tuner.spec.model import StudySpec
from tuner.store import Store
from tuner.store.cells import StageSample

#: Stages of a trial in their order; those of `_ONCE` run once a study and may be there from an earlier one.
STAGES = ("importance", "shape", "teacher-outputs", "recover", "build", "draft", "performance", "quality")
_ONCE = ("importance", "teacher-outputs")
_BY_ENGINE = ("build", "draft", "performance", "quality")
#: Without a cost of these nothing can be said.
_NEEDED = ("build", "performance")
_MOST = 300  # candidates that are drawn: a longer study goes on in the same proportions
_TRIES = 20  # draws for each new candidate, in a space that is nearly used up


@dataclass(frozen=True)
class StageEstimate:
    """One stage: how often it will run and be found in the cache, and the quartiles of what a run took before.

    `basis` says whose runs those were; `known` is how many.
    """

    name: str
    runs: int
    hits: int
    low: float
    middle: float
    high: float
    known: int
    basis: str


@dataclass(frozen=True)
class Estimate:
    """The seconds of a study's trials by one worker: from quartile to quartile; and the stages that make them up."""

    seconds: tuple[float, float]
    stages: tuple[StageEstimate, ...]
    unknown: tuple[str, ...]
    same_model: bool


def estimate(
    store: Store, spec: StudySpec, space: Space, layers: int, trials: int, hosts: Collection[str] = ()
) -> Estimate | None:
    """Return what `trials` candidates of a space will take; None where nothing comparable was ever measured.

    `hosts` are fingerprints of the machines that will do it: their costs alone count where there are any.
    """
    samples = store.stage_samples()
    here = [s for s in samples if s.host in hosts]
    samples = here or samples
    drawn = _drawn(space, min(trials, _MOST))
    if not samples or not drawn:
        return None
    scale = trials / len(drawn)
    model = model_key(spec.model.model_dump(mode="json"))
    found = [_stage(name, drawn, layers, spec, samples, model, scale) for name in STAGES]
    stages = [s for s in found if s is not None]
    if any(s.known == 0 for s in stages if s.name in _NEEDED):
        return None
    low = sum(s.low * s.runs for s in stages if s.name not in _ONCE)
    high = sum(s.high * s.runs for s in stages)
    unknown = tuple(s.name for s in stages if not s.known)
    return Estimate(
        (low, high), tuple(stages), unknown, all("this model" in s.basis for s in stages if s.known)
    )


def model_key(model: Mapping[str, Any]) -> str:
    """Return what makes two studies' models the same one: its source or its configuration, and its length."""
    return json.dumps([model.get(name) for name in ("source", "config", "max_length")], sort_keys=True)


def _drawn(space: Space, count: int) -> list[Candidate]:
    """Return distinct candidates as a search would begin with: drawn at random, the same at each look."""
    rng, found = random.Random(0), dict[str, Candidate]()
    for _ in range(count * _TRIES):
        if len(found) >= count:
            break
        candidate = space.draw(rng)
        found[candidate.hash] = candidate
    return list(found.values())


def _stage(
    name: str,
    drawn: Sequence[Candidate],
    layers: int,
    spec: StudySpec,
    samples: Sequence[StageSample],
    model: str,
    scale: float,
) -> StageEstimate | None:
    """Return one stage's part; None where no candidate goes through it."""
    through = [c for c in drawn if _goes_through(name, c, layers, spec)]
    if not through:
        return None
    runs = {_shared(name, c): c.backend.engine for c in through}
    of_engines = Counter(runs.values()) if name in _BY_ENGINE else Counter({"": len(runs)})
    parts = [(count, *_quartiles(samples, name, model, engine)) for engine, count in of_engines.items()]
    known = min(part[2] for part in parts)
    low, middle, high = np.average([p[1] for p in parts], axis=0, weights=[p[0] for p in parts])
    if name == "recover" and spec.recover.seconds is not None and known:
        low, middle, high = (min(v, spec.recover.seconds * 1.1) for v in (low, middle, high))
    times = 1.0 if name in _ONCE else scale
    count = round(len(runs) * times)
    basis = _together([part[3] for part in parts])
    hits = round(len(through) * scale) - count
    return StageEstimate(name, count, hits, float(low), float(middle), float(high), known, basis)


def _together(bases: Sequence[str]) -> str:
    """Return whose runs several engines' costs come from: what is not of this model itself is named."""
    others = [basis for basis in dict.fromkeys(bases) if not basis.startswith("this model")]
    strangers = [basis for basis in bases if basis == "this model with other engines"]
    if not others and not strangers:
        return "this model" if len(bases) > 1 else bases[0]
    named = list(dict.fromkeys([*others, *strangers]))
    return "; ".join(named if len(named) == len(set(bases)) else ["this model", *named])


def _goes_through(name: str, candidate: Candidate, layers: int, spec: StudySpec) -> bool:
    if name in ("importance", "shape"):
        return not candidate.is_unshaped(layers)
    if name in ("teacher-outputs", "recover"):
        return not candidate.is_unshaped(layers) and spec.recover.steps > 0
    return name != "draft" or candidate.backend.draft == "student"


def _shared(name: str, candidate: Candidate) -> Hashable:
    """Return what a stage's output depends on of the candidate: whoever shares it finds it in the cache."""
    if name in _ONCE:
        return name
    if name in ("shape", "recover"):
        return candidate.student
    if name == "draft":
        return (candidate.backend.engine, candidate.backend.device, *candidate.backend.drafting)
    artefact = (candidate.student, candidate.quantization, candidate.backend)
    return (artefact, candidate.parallel) if name == "performance" else artefact


def _quartiles(
    samples: Iterable[StageSample], name: str, model: str, engine: str
) -> tuple[tuple[float, float, float], int, str]:
    """Return quartiles of a stage's runs, how many there were, and whose: the nearest kin that has any."""
    runs = [s for s in samples if s.name == name]
    mine = [s for s in runs if model_key(s.model) == model]
    with_engine = f" with {engine}" if engine else ""
    for kin, whose in (
        ([s for s in mine if engine in ("", s.engine)], f"this model{with_engine}"),
        (mine, "this model with other engines"),
        ([s for s in runs if engine in ("", s.engine)], f"other models{with_engine}"),
        (runs, "other models with other engines"),
    ):
        if kin:
            low, middle, high = np.percentile([s.seconds for s in kin], [25, 50, 75])
            return (float(low), float(middle), float(high)), len(kin), whose
    return (0.0, 0.0, 0.0), 0, "nothing known"
