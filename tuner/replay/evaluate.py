"""Evaluate on a table: what the pipeline would find of a candidate, gate included, at a cost in virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuner.candidate import Candidate
from tuner.errors import BuildError, JobError, UnsupportedError
from tuner.metrics import QUALITY, Metrics
from tuner.pipeline.cache import Entry
from tuner.pipeline.evaluate import Evaluation
from tuner.pipeline.gate import Gate, GivenUp
from tuner.pipeline.parts import bounds
from tuner.replay.ledger import Ledger
from tuner.replay.table import Row, Table
from tuner.stage import StageRun

_BEFORE_TRAINING = ("importance", "shape")
_DETAILS = ("ttft_ms", "tpot_ms", "tokens_per_s")  # of a language model's responses
_AGAIN = ("build", "performance", "export")  # of an untrained shape: other files than the trained one's


class Evaluator:
    """A table and one study's ledger. `remains` are the stages that the last candidate ran."""

    def __init__(self, table: Table, ledger: Ledger) -> None:
        self.table, self.ledger = table, ledger
        self.remains: list[StageRun] = []

    def evaluate(self, candidate: Candidate, gate: Gate | None = None) -> Evaluation | GivenUp:
        """Return what `tuner.pipeline.evaluate.evaluate` would.

        Raises:
            BuildError, UnsupportedError, JobError: how the candidate failed when it was recorded; or it was not.
        """
        row, self.remains = self.table.rows.get(candidate.hash), []
        if row is None:
            raise BuildError("not in the table")
        if gate is not None and gate.looks_first() and (refused := self._refused(row, gate)) is not None:
            return refused
        self._pay(stage for stage in row.stages if stage.name != "quality")
        if row.failure is not None:
            raise _error(row)
        if gate is not None and gate.watches() and (beaten := self._given_up(row, gate)) is not None:
            return beaten
        self._pay(stage for stage in row.stages if stage.name == "quality")
        return self._evaluation(row)

    def _pay(self, stages: Iterator[StageRun]) -> None:
        self.remains += self.ledger.pay(stages)

    def _refused(self, row: Row, gate: Gate) -> GivenUp | None:
        self._pay(self._untrained(row))
        known = self.table.untrained.get(row.candidate.hash, row)
        if known.failure is not None:
            raise _error(known)
        performance = self.performance(known)
        if (why := gate.refuses(performance)) is None:
            return None
        return GivenUp(row.candidate, "gate", why, performance, {}, self.remains)

    def _untrained(self, row: Row) -> Iterator[StageRun]:
        """Yield the stages of measuring a shape untrained: as recorded, else with the trained one's costs."""
        known = self.table.untrained.get(row.candidate.hash)
        if known is not None:
            yield from known.stages
            return
        for stage in row.stages:
            if stage.name in _BEFORE_TRAINING:
                yield stage
            elif stage.name in _AGAIN:
                yield replace(stage, key=f"untrained:{stage.key}")

    def _given_up(self, row: Row, gate: Gate) -> GivenUp | None:
        stage = next(stage for stage in row.stages if stage.name == "quality")
        base = self.table.baseline.correct
        if stage.key in self.ledger.made or len(base) != len(row.correct):
            return None
        order, performance = gate.order(base), self.performance(row)
        for _, end in list(bounds(len(base)))[:-1]:
            given_up = gate.gives_up(performance, base, order, row.correct[order[:end]])
            if given_up is not None:
                reason, found = given_up
                spent = self._spent(row, stage.seconds, end)
                self.ledger.now += spent
                self.remains.append(StageRun("subset", stage.key, False, spent))
                return GivenUp(row.candidate, "subset", reason, performance, found, self.remains)
        return None

    def _spent(self, row: Row, seconds: float, answered: int) -> float:
        """Return the seconds of answering some documents: what loading takes is paid in any case."""
        latency = row.metrics["latency_ms"]
        assert latency is not None
        total = len(row.correct)
        a_document = min(latency.value / 1000, 0.95 * seconds / total)
        return seconds - (total - answered) * a_document

    def _evaluation(self, row: Row) -> Evaluation:
        key = next(stage.key for stage in row.stages if stage.name == "build")
        artefact = Entry("build", key, Path(key), False, 0.0)
        performance = self.performance(row)
        right = row.correct.tolist()
        return Evaluation(row.candidate, artefact, performance, quality(row), right, [], self.remains)

    def performance(self, row: Row) -> dict[str, Any]:
        """Return a row's measurement as `Performance.to_json()`."""

        def plain(name: str) -> dict[str, float]:
            estimate = row.metrics[name]
            assert estimate is not None
            return estimate.model_dump()

        assert row.ratio is not None
        return {
            "ratio": row.ratio.model_dump(),
            "reference_ms": self.table.clock_ms,
            **dict.fromkeys(("p50_ms", "p90_ms", "p99_ms", "energy_j")),
            "throughput": plain("throughput"),
            "memory_mb": plain("memory_mb")["value"],
            "size_mb": plain("size_mb")["value"],
            "cores": row.candidate.parallel.cores,
            "details": {name: plain(name) for name in _DETAILS if row.metrics.get(name) is not None},
            **{
                "samples": [],
                "reference_samples": [],
                "pairs": 0,
                "disturbed": 0,
                "drift": 0.0,
                "seconds": 0.0,
            },
        }


def quality(row: Row) -> Metrics:
    """Return what of a row's metrics was judged on documents."""
    return {name: estimate for name, estimate in row.metrics.items() if name in QUALITY}


def _error(row: Row) -> Exception:
    assert row.failure is not None
    kind, reason = row.failure.kind, row.failure.reason
    if kind == "build":
        return BuildError(reason)
    return UnsupportedError(reason) if kind == "unsupported" else JobError(kind, reason)
