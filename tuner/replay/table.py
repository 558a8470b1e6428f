"""Table: what was really measured of a grid of candidates, and what each stage cost, read from Parquet."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tuner.backends.base import Offer
from tuner.candidate import Backend, Candidate, Distillation, Parallel, Pruning, Quantization, baseline
from tuner.errors import InputError
from tuner.metrics import METRICS, Estimate, Metrics
from tuner.search.space import Leg, Space
from tuner.spec.model import StudySpec
from tuner.stage import StageRun


@dataclass(frozen=True)
class Failure:
    """Why a candidate could not be measured."""

    kind: str
    reason: str


@dataclass(frozen=True)
class Counts:
    """What a language model's quality is made of.

    Of each document the negative log-likelihood `nll` (nats) of its `tokens`, float (documents,); of each of the
    baseline's answers how many of the `answered` tokens are `hits`, float (answers,).
    """

    nll: np.ndarray
    tokens: np.ndarray
    hits: np.ndarray
    answered: np.ndarray


@dataclass(frozen=True)
class Row:
    """A recorded candidate. `stages` hold full costs in seconds; `correct` is bool (documents,) in the split's order.

    `ratio` is the latency's ratio to the baseline. What failed has no metrics, and its last stage is called `failed`.
    Of a language model `correct` is of the multiple-choice questions, and `counts` is what else was judged.
    """

    candidate: Candidate
    metrics: Metrics
    ratio: Estimate | None
    correct: np.ndarray
    stages: tuple[StageRun, ...]
    failure: Failure | None = None
    counts: Counts | None = None


@dataclass(frozen=True)
class Table:
    """A recorded grid. `meta` is what the recorder noted of study and host; `untrained` are shapes before recovery."""

    meta: Mapping[str, Any]
    rows: Mapping[str, Row]
    untrained: Mapping[str, Row] = field(default_factory=dict)

    @cached_property
    def spec(self) -> StudySpec:
        """Return the recorded study."""
        return StudySpec.model_validate(dict(self.meta["spec"]))

    @cached_property
    def baseline(self) -> Row:
        """Return the row of the untouched model."""
        space = _space(self.meta, self.spec)
        return self.rows[baseline(space.teacher_layers, space.cores).hash]

    @property
    def clock_ms(self) -> float:
        """Return the baseline's median latency in ms over the whole table."""
        return float(self.meta["clock_ms"])

    @property
    def once_s(self) -> float:
        """Return the seconds that a study pays before its first candidate: imports, data, teacher."""
        return float(sum(self.meta["once"].values()))

    @cached_property
    def space(self) -> Space:
        """Return the largest whole space that was recorded: formats and ways to run that lack a candidate are left out.

        Raises:
            InputError: no number format was recorded for all shapes.
        """
        whole = _space(self.meta, self.spec)
        found = [self._within(parallels) for parallels in _subsets(whole.parallels)]
        best = max(found, key=lambda space: space.size())
        if not best.legs:
            raise InputError("the table holds no number format for all of its shapes: record on")
        return best

    def _within(self, parallels: Sequence[tuple[int, int]]) -> Space:
        """Return the space of these (threads, replicas) with the legs that are recorded for all shapes."""
        space = _space(self.meta, self.spec)
        space.parallels = list(parallels)
        missing = {c for c in space.enumerate() if c.hash not in self.rows}
        short = {(c.quantization, c.backend) for c in missing}
        space.legs = [kept for leg in space.legs if (kept := _whole(leg, short)) is not None]
        return space

    @cached_property
    def inside(self) -> list[Row]:
        """Return the rows of the space, in its order."""
        return [self.rows[c.hash] for c in self.space.enumerate()]


def read(path: Path) -> Table:
    """Return the table of a Parquet file.

    Raises:
        InputError: there is none, or it is no recorded table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        stored = pq.read_table(path)
        meta = json.loads(stored.schema.metadata[b"tuner"])
    except (OSError, pa.ArrowInvalid, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a recorded table: {error}") from error
    rows = stored.to_pylist()
    return Table(meta, _by_hash(rows, "trial"), _by_hash(rows, "untrained"))


def _by_hash(rows: Iterable[Mapping[str, Any]], kind: str) -> dict[str, Row]:
    return {row["hash"]: _row(row) for row in rows if row["kind"] == kind}


def _row(stored: Mapping[str, Any]) -> Row:
    failed = stored["state"] == "failed"
    bits = np.frombuffer(stored["correct"] or b"", np.uint8)
    return Row(
        candidate=_candidate(stored),
        metrics={name: _estimate(stored, name) for name in METRICS if f"{name}_low" in stored},
        ratio=_estimate(stored, "ratio"),
        correct=np.unpackbits(bits, count=stored["documents"] or 0).astype(bool),
        stages=tuple(StageRun(s["name"], s["key"], s["hit"], s["seconds"]) for s in stored["stages"]),
        failure=Failure(stored["failure"], stored["reason"]) if failed else None,
        counts=_counts(stored),
    )


def _counts(stored: Mapping[str, Any]) -> Counts | None:
    if stored.get("nll") is None:
        return None
    return Counts(**{part.name: np.array(stored[part.name]) for part in fields(Counts)})


def _estimate(stored: Mapping[str, Any], name: str) -> Estimate | None:
    value = stored[name]
    if value is None or math.isnan(value):
        return None
    return Estimate(value=value, low=stored[f"{name}_low"], high=stored[f"{name}_high"])


def _candidate(stored: Mapping[str, Any]) -> Candidate:
    parts = {
        "distillation": Distillation(student_layers=stored["layers"]),
        "pruning": _part(Pruning, stored),
        "quantization": _part(Quantization, stored),
        "parallel": _part(Parallel, stored),
        "backend": _part(Backend, stored),
    }
    return Candidate(**parts)


def _part(kind: Any, stored: Mapping[str, Any]) -> Any:
    return kind.model_validate({name: stored[name] for name in kind.model_fields if name in stored})


def _whole(leg: Leg, short: set[tuple[Quantization, Backend]]) -> Leg | None:
    """Return a leg with those of its methods of which nothing is `short`; None if none is left."""
    kept = tuple(m for m in leg.methods if not short.intersection(replace(leg, methods=(m,)).pairs()))
    found = replace(leg, methods=kept)
    return None if short.intersection(found.pairs()) or (leg.methods and not kept) else found


def _space(meta: Mapping[str, Any], spec: StudySpec) -> Space:
    offers = [(engine, Offer.from_plain(plain)) for engine, plain in meta["offers"]]
    return Space(spec.axes, meta["anatomy"], offers, int(meta["cores"]), spec.scenario.clients)


def _subsets(parallels: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    """Yield every non-empty choice of the ways to run, all of them first."""
    for size in range(len(parallels), 0, -1):
        yield from itertools.combinations(parallels, size)
