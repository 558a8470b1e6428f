"""Lines: a worker, a study and a sentence as an overview shows them, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from tuner.errors import NotFoundError
from tuner.spec.nearest import nearest

#: States of a study that is not over.
OPEN = ("queued", "running", "paused", "stopping", "confirming")
WorkerState = Literal["alive", "lost", "gone"]


@dataclass(frozen=True)
class WorkerLine:
    """A worker: `alive`, `lost` (it fell silent), or `gone` (it left in good order); `silent_s` since it was heard of.

    `trials` are the pairs of study and trial number that it runs, `coordinates` the studies that it looks after.
    """

    name: str
    state: WorkerState
    host: str | None
    pid: int
    cores: int
    engines: tuple[str, ...]
    labels: Mapping[str, str]
    trials: tuple[tuple[str, int], ...]
    coordinates: tuple[str, ...]
    silent_s: float
    started: datetime

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data."""
        trials = [{"study": study, "trial": trial} for study, trial in self.trials]
        lists = {"engines": list(self.engines), "labels": dict(self.labels), "trials": trials}
        changed = {"coordinates": list(self.coordinates), "silent_s": round(self.silent_s, 1)}
        return {**vars(self), **lists, **changed, "started": self.started.isoformat(timespec="seconds")}


@dataclass(frozen=True)
class StudyLine:
    """A study. `done` distinct candidates of `total` (None: only time ends it) were measured or failed.

    `best_speedup` and `loss` are those of the fastest point of its front, `hypervolume` is that of the front. `loss` is
    what the study's metric loses there against the baseline's, as `tuner.metrics.LOSS` has it.
    """

    id: str
    name: str
    state: str
    objectives: tuple[str, ...]
    tags: tuple[str, ...]
    done: int
    total: int | None
    queued: int
    running: int
    measured: int
    failed: int
    repeated: int
    cancelled: int
    on_front: int
    confirmed: bool
    best_speedup: float | None
    metric: str
    loss: float | None
    hypervolume: float | None
    seconds_left: float | None
    baseline_ms: float | None
    coordinator: str | None
    host: str | None
    updated: datetime

    @property
    def is_open(self) -> bool:
        """Say whether the study is not over."""
        return self.state in OPEN

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data."""
        lists = {"objectives": list(self.objectives), "tags": list(self.tags)}
        return {**vars(self), **lists, "updated": self.updated.isoformat(timespec="seconds")}


@dataclass(frozen=True)
class Note:
    """A sentence about what keeps a study waiting; about no study in particular where `study` is None."""

    study: str | None
    message: str

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return dict(vars(self))


@dataclass(frozen=True)
class Overview:
    """Workers by name, studies with the one changed last first, and what waits for a worker that is not there."""

    workers: tuple[WorkerLine, ...]
    studies: tuple[StudyLine, ...]
    notes: tuple[Note, ...]

    @property
    def alive(self) -> int:
        """Return how many workers are alive."""
        return sum(worker.state == "alive" for worker in self.workers)

    def of(self, name: str) -> Overview:
        """Return the part that concerns one study.

        Raises:
            NotFoundError: there is none of that name.
        """
        kept = tuple(study for study in self.studies if study.name == name)
        if not kept:
            near = nearest(name, [study.name for study in self.studies])
            raise NotFoundError(
                f"no study named {name!r}; " + (f"did you mean {near!r}?" if near else "see `tuner list`")
            )
        return replace(self, studies=kept, notes=tuple(n for n in self.notes if n.study in (None, name)))

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {
            "workers": [worker.to_json() for worker in self.workers],
            "studies": [study.to_json() for study in self.studies],
            "notes": [note.to_json() for note in self.notes],
        }
