"""The replayed pipeline: answers what a table holds, through the protocol that the real service uses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuner.candidate import Candidate
from tuner.errors import BuildError, JobError, UnsupportedError
from tuner.pipeline.cache import Entry
from tuner.pipeline.evaluate import Evaluation
from tuner.replay.ledger import Ledger
from tuner.replay.table import Row, Table
from tuner.service.pipeline import Confirmation
from tuner.stage import StageRun
from tuner.store import Study


class ReplayPipeline:
    """A `Pipeline` on a table. `ledger` holds each study's virtual time, by the study's id; nothing waits.

    The test split was not recorded: a confirmation answers with the validation split.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.ledgers: dict[str, Ledger] = {}
        self.evaluated: list[Candidate] = []
        self._remains: list[StageRun] = []

    def anatomy(self, study: Study) -> dict[str, Any]:
        """See `Pipeline`."""
        return dict(self.table.meta["anatomy"])

    def evaluate(self, study: Study, candidate: Candidate) -> Evaluation:
        """See `Pipeline`.

        Raises:
            BuildError: the candidate failed when it was recorded, or is not in the table.
        """
        row = self.table.rows.get(candidate.hash)
        if row is None:
            raise BuildError("not in the table")
        self.evaluated.append(candidate)
        ledger = self.ledgers.setdefault(study.id, Ledger())
        self._remains = stages = ledger.pay(row.stages)
        if row.failure is not None:
            raise _error(row)
        key = next(stage.key for stage in stages if stage.name == "build")
        artefact = Entry("build", key, Path(key), False, 0.0)
        quality = {name: row.metrics[name] for name in row.metrics if name.startswith(("accuracy", "f1"))}
        return Evaluation(
            candidate, artefact, self._performance(row), quality, row.correct.tolist(), [], stages
        )

    def confirm(self, study: Study, candidates: Sequence[Candidate]) -> list[Confirmation]:
        """See `Pipeline`."""
        found = []
        for candidate in candidates:
            row = self.table.rows[candidate.hash]
            quality = {name: row.metrics[name] for name in row.metrics if name.startswith(("accuracy", "f1"))}
            found.append(Confirmation(candidate, self._performance(row), quality, row.correct.tolist(), []))
        return found

    def take_remains(self) -> tuple[list[Any], str]:
        """See `Pipeline`."""
        taken, self._remains = self._remains, []
        return taken, ""

    def abort(self) -> None:
        """See `Pipeline`: there is nothing that runs."""

    def close(self) -> None:
        """See `Pipeline`."""

    def _performance(self, row: Row) -> dict[str, Any]:
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
            **{
                "samples": [],
                "reference_samples": [],
                "pairs": 0,
                "disturbed": 0,
                "drift": 0.0,
                "seconds": 0.0,
            },
        }


def _error(row: Row) -> Exception:
    assert row.failure is not None
    kind, reason = row.failure.kind, row.failure.reason
    if kind == "build":
        return BuildError(reason)
    return UnsupportedError(reason) if kind == "unsupported" else JobError(kind, reason)
