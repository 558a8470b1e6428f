"""Gate: the port through which a candidate may be given up before all of it is paid for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from tuner.candidate import Candidate
from tuner.metrics import Metrics
from tuner.stage import StageRun

#: Why a trial was pruned: beaten before it was trained, or by its answers on a part of the documents.
GivenUpKind = Literal["gate", "subset"]


class Gate(Protocol):
    """Decides for one candidate. `performance` is `Performance.to_json()`."""

    def looks_first(self) -> bool:
        """Say whether to build and measure the shape before it is trained."""
        ...

    def refuses(self, performance: Mapping[str, Any]) -> str | None:
        """Return why a candidate, measured untrained, is not worth its training; None if it is."""
        ...

    def watches(self) -> bool:
        """Say whether it wants to hear of the first answers; else all are asked for at once."""
        ...

    def order(self, base: np.ndarray) -> np.ndarray:
        """Return the order (documents,) in which to ask; `base` (documents,) says which the baseline got right."""
        ...

    def gives_up(
        self, performance: Mapping[str, Any], base: np.ndarray, order: np.ndarray, correct: np.ndarray
    ) -> tuple[str, Metrics] | None:
        """Return why the first answers (`correct`, in that order) suffice, and what they say; None to go on."""
        ...


@dataclass(frozen=True)
class GivenUp:
    """A candidate that was given up, with what was measured of it until then."""

    candidate: Candidate
    kind: GivenUpKind
    reason: str
    performance: dict[str, Any]
    quality: Metrics
    stages: list[StageRun]
