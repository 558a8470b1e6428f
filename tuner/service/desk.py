"""Desk: what a screen may read and do, on one open database, under a role.

Everything comes back as plain data or as a DataFrame; nothing here needs torch. What changes something asks for the
role operator, whoever calls.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from tuner.errors import InputError, TunerError
from tuner.service import steering
from tuner.service.budget import Spent
from tuner.service.contenders import Subject, subjects
from tuner.service.drafts import check
from tuner.service.history import history
from tuner.service.lines import Overview
from tuner.service.overview import read_overview
from tuner.service.roles import Role, require_operator
from tuner.service.table import Table
from tuner.service.trying import Tryout
from tuner.spec.model import Budget
from tuner.store import Store
from tuner.store.cells import StageCost
from tuner.store.records import Event, Study, Worker

_MOST_STUDIES = 5000  # beyond which no browser adds one
_TABLES = 16  # studies whose trials are kept in memory
#: States of a study in which something may change by itself.
MOVING = ("queued", "running", "stopping", "confirming")
#: What may be asked of studies, several at once.
VERBS = ("pause", "resume", "stop", "cancel", "delete")
_COUNTED = ("complete", "failed", "pruned")


@dataclass(frozen=True)
class StudyInfo:
    """A study's head: no trials. `version` changes whenever anything of the study does."""

    id: str
    name: str
    state: str
    spec: Mapping[str, Any]
    meta: Mapping[str, Any]
    summary: Mapping[str, Any]
    baseline_ms: float | None
    host: str | None
    host_data: Mapping[str, Any]
    clocks: Mapping[str, float]
    coordinator: str | None
    created: datetime
    updated: datetime
    version: str

    @property
    def moving(self) -> bool:
        """Say whether something may change by itself: a screen that shows it looks again."""
        return self.state in MOVING

    @property
    def objectives(self) -> list[str]:
        """Return the names of the metrics that are traded."""
        return list(self.spec["objectives"])

    @property
    def metric(self) -> str:
        """Return what good means: accuracy or another quality metric."""
        return str(self.spec["metric"])

    @classmethod
    def of(cls, study: Study) -> StudyInfo:
        """Return the head of a stored study."""
        return cls(
            id=study.id, name=study.name, state=study.state, spec=study.spec, meta=study.meta, summary=study.summary,
            baseline_ms=study.baseline_ms, host=study.host.name if study.host else None,
            host_data=study.host.data if study.host else {}, clocks=dict(study.clocks), coordinator=study.worker,
            created=study.created_at,
            updated=study.updated_at, version=f"{study.id}:{study.updated_at.isoformat()}:{study.state}",
        )  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """Where a study stands: distinct candidates done of total, and the seconds that are left by its budget."""

    done: int
    total: int | None
    running: int
    queued: int
    failed: int
    spent_s: float
    left_s: float | None

    @classmethod
    def of(cls, info: StudyInfo, frame: pd.DataFrame) -> Standing:
        """Count a study's trials."""
        counted = frame[frame["state"].isin(_COUNTED) & frame["finished_at"].notna()]
        begun = counted["started_at"].fillna(counted["finished_at"])
        spent = Spent.of(list(zip(counted["label"], begun, counted["finished_at"], strict=True)))
        budget = Budget.model_validate(info.spec["budget"])
        states = frame["state"].value_counts()
        failed = int(states.get("failed", 0) + states.get("pruned", 0))
        left = spent.seconds_left(budget) if info.moving else None
        return cls(
            spent.candidates, budget.trials, int(states.get("running", 0)), int(states.get("queued", 0)), failed,
            spent.seconds, left,
        )  # fmt: skip


@dataclass(frozen=True)
class Steered:
    """What became of an order to several studies: lines on those it was done to, and on those that refused."""

    done: list[str]
    refused: list[str]


@dataclass
class Desk:
    """One database for many screens: share it between sessions and threads."""

    store: Store
    db: str | None = None
    _tables: OrderedDict[str, Table] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, db: str | None = None) -> Desk:
        """Open the database as `Store.open` does."""
        return cls(Store.open(db), db)

    # -- reading

    def info(self, name: str) -> StudyInfo:
        """Return a study's head.

        Raises:
            NotFoundError: there is none of that name.
        """
        return StudyInfo.of(self.store.get_study(name))

    def infos(self) -> list[StudyInfo]:
        """Return the heads of all studies, the last changed first."""
        return [StudyInfo.of(study) for study in self.store.list_studies()]

    def trials(self, name: str) -> tuple[StudyInfo, pd.DataFrame]:
        """Return a study's head and its trials (see `table`); do not change the frame, others see it too."""
        study = self.store.get_study(name)
        with self._lock:
            table = self._tables.pop(study.id, None) or Table()
            self._tables[study.id] = table
            while len(self._tables) > _TABLES:
                self._tables.popitem(last=False)
        return StudyInfo.of(study), table.look(self.store, study)

    def history(self, info: StudyInfo, frame: pd.DataFrame) -> pd.DataFrame:
        """Return how the front grew (see `history`)."""
        return history(frame, info.objectives)

    def subjects(self) -> dict[str, Subject]:
        """Return what may be compared, by a name for a person: every study, and each host of one on several."""
        return subjects([line.name for line in self.store.standings()], self.store.measured_hosts())

    def stage_costs(self, info: StudyInfo) -> list[StageCost]:
        """Return where a study's time went."""
        return self.store.stage_costs(info.id)

    def stages(self, trial_ids: Sequence[str]) -> pd.DataFrame:
        """Return trial id, stage, hit and seconds of some trials."""
        return pd.DataFrame(self.store.stages_of(trial_ids), columns=["id", "stage", "hit", "seconds"])

    def events(self, info: StudyInfo | None = None, limit: int = 300) -> list[Event]:
        """Return the last events, the newest first."""
        return self.store.recent_events(None if info is None else info.id, limit)

    def workers(self) -> list[Worker]:
        """Return all workers that are remembered."""
        return self.store.workers()

    def now(self) -> datetime:
        """Return the present time."""
        return datetime.now(UTC)

    def overview(self) -> Overview:
        """Return all workers, where every study stands, and what waits for want of a worker."""
        return read_overview(self.store)

    def tryout(self, name: str, number: int) -> Tryout:
        """Return what a trial can be asked by: nothing is started yet, and who asks says under which role.

        Raises:
            NotFoundError: there is no such trial, or its artefact is not in this machine's cache.
        """
        return Tryout.of(self.store, name, number)

    # -- doing

    def steer(self, verb: str, names: Sequence[str], role: Role) -> Steered:
        """Do one of `VERBS` to these studies, each by itself; return what happened, a line for each.

        Raises:
            NotAllowedError: the role is not operator.
            InputError: there is no such verb.
        """
        require_operator(role, f"{verb} studies")
        if verb not in VERBS:
            raise InputError(f"unknown verb {verb!r}; known are: {', '.join(VERBS)}")
        done, refused = [], []
        for name in names:
            try:
                done.append(getattr(steering, verb)(self.store, name).message)
            except TunerError as error:
                refused.append(str(error))
        return Steered(done, refused)

    def retry(self, name: str, number: int, role: Role) -> str:
        """Queue a failed trial's candidate again; return what happened."""
        require_operator(role, "try trials again")
        return steering.retry(self.store, name, number).message

    def discard(self, name: str, number: int, why: str, role: Role) -> str:
        """Take a trial out of the front, on record with the reason; return what happened."""
        require_operator(role, "discard trials")
        return steering.discard(self.store, name, number, why[:500]).message

    def submit(self, text: str, role: Role) -> str:
        """Store a study from a browser's text for workers to run; return what happened.

        Raises:
            NotAllowedError: the role is not operator.
            InputError: the text is no study that may be run from here, or one of its name is stored.
        """
        require_operator(role, "launch studies")
        found = check(text)
        if found.spec is None:
            first = found.problems[0]
            raise InputError(f"line {first.line}: {first.field + ': ' if first.field else ''}{first.message}")
        if self.store.find_study(found.spec.name) is not None:
            raise InputError(f"name: a study named {found.spec.name!r} exists already; choose another name")
        if len(self.store.standings()) >= _MOST_STUDIES:
            raise InputError(f"there are {_MOST_STUDIES} studies already: delete some first")
        return steering.submit(self.store, found.spec).message
