"""The replayed pipeline: answers what a table holds, through the protocol that the real service uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tuner.candidate import Candidate
from tuner.pipeline.evaluate import Evaluation
from tuner.pipeline.gate import Gate, GivenUp
from tuner.replay.evaluate import Evaluator, quality
from tuner.replay.ledger import Ledger
from tuner.replay.table import Table
from tuner.service.pipeline import Confirmation
from tuner.store import Study


class ReplayPipeline:
    """A `Pipeline` on a table. `ledgers` holds each study's virtual time, by the study's id; nothing waits.

    The test split was not recorded: a confirmation answers with the validation split.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.ledgers: dict[str, Ledger] = {}
        self.evaluated: list[Candidate] = []
        self._last: Evaluator | None = None

    def anatomy(self, study: Study) -> dict[str, Any]:
        """See `Pipeline`."""
        return dict(self.table.meta["anatomy"])

    def evaluate(self, study: Study, candidate: Candidate, gate: Gate | None = None) -> Evaluation | GivenUp:
        """See `Pipeline`."""
        self.evaluated.append(candidate)
        self._last = Evaluator(self.table, self.ledgers.setdefault(study.id, Ledger()))
        return self._last.evaluate(candidate, gate)

    def confirm(self, study: Study, candidates: Sequence[Candidate]) -> list[Confirmation]:
        """See `Pipeline`."""
        at, rows = Evaluator(self.table, Ledger()), [self.table.rows[c.hash] for c in candidates]
        return [
            Confirmation(row.candidate, at.performance(row), quality(row), row.correct.tolist(), [])
            for row in rows
        ]

    def take_remains(self) -> tuple[list[Any], str]:
        """See `Pipeline`."""
        taken, self._last = [] if self._last is None else self._last.remains, None
        return taken, ""

    def others_measure(self) -> bool:
        """See `Pipeline`: nothing is measured here."""
        return False

    def abort(self) -> None:
        """See `Pipeline`: there is nothing that runs."""

    def close(self) -> None:
        """See `Pipeline`."""
