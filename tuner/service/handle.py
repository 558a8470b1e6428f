"""StudyHandle and TrialHandle: a stored study in the hands of a person, a script or the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.candidate import Candidate
from tuner.errors import NotFoundError
from tuner.search.front import Point, where
from tuner.search.pick import pick
from tuner.search.standing import Standing
from tuner.service.points import (
    confirmed_metrics,
    feasible,
    fronts,
    is_baseline,
    search_metrics,
    shown_points,
    standings,
)
from tuner.service.rows import StudySummary, TrialRow
from tuner.spec.constraint import parse_where
from tuner.spec.wording import headline
from tuner.store import Store, tuner_home
from tuner.store.records import Study, Trial

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class StudyHandle:
    """A study as it was stored when it was loaded. The database is not held open."""

    study: Study
    trials: tuple[Trial, ...]
    db: str | None = None

    @classmethod
    def of(cls, store: Store, study: Study, db: str | None = None) -> StudyHandle:
        """Read a study's trials from an open store."""
        return cls(study, tuple(store.trials(study)), db)

    @property
    def name(self) -> str:
        """Return the study's name."""
        return self.study.name

    @property
    def spec(self) -> Mapping[str, Any]:
        """Return the resolved study file as plain data."""
        return self.study.spec

    @property
    def state(self) -> str:
        """Return queued, running, paused, stopping, confirming, finished, interrupted, cancelled or failed."""
        return self.study.state

    @property
    def interrupted(self) -> bool:
        """Say whether the last run was stopped before its budget was spent."""
        return self.state == "interrupted"

    @property
    def host(self) -> dict[str, Any]:
        """Return the host that measured, as it described itself."""
        found = self.study.host
        return {} if found is None else {**found.data, "name": found.name, "fingerprint": found.fingerprint}

    @property
    def baseline_ms(self) -> float | None:
        """Return the study-wide median latency of fp32 PyTorch eager, in ms."""
        return self.study.baseline_ms

    @property
    def baseline(self) -> Candidate | None:
        """Return the untouched model in fp32 PyTorch eager, once it was measured."""
        found = [t.candidate for t in self.trials if is_baseline(self.study, t.candidate)]
        return found[0] if found else None

    def rows(self) -> list[TrialRow]:
        """Return every trial that was run, repeats left out, by number."""
        found = standings(self.study, self.trials)
        return [self._row(t, found.get(t.number)) for t in self.trials if t.state != "repeated"]

    def front_rows(self, where: str | None = None) -> list[TrialRow]:
        """Return the feasible front, the fastest first: confirmed where the study came to its end.

        `where` keeps only points that meet it, such as `latency_ms<=5 and accuracy_drop<=0.01`.
        """
        by_number = {row.number: row for row in self.rows()}
        return [by_number[point.trial] for point in self._front(where)]

    def front(self) -> pd.DataFrame:
        """Return the front as a table: trial, the five parts, and each metric with its low and high."""
        import pandas as pd

        return pd.DataFrame([row.to_record() for row in self.front_rows()])

    def pick(
        self, strategy: str = "fastest", max_loss: float | None = None, trial: int | None = None
    ) -> TrialHandle:
        """Return one point: `fastest`, `knee` or `most-accurate` of the front, or any complete `trial`.

        `max_loss` is what the study's metric may lose against the baseline's: 0.01 is one point of accuracy, or 1 %
        more perplexity.

        Raises:
            NoFeasibleTrialError: no point meets the constraints and the largest loss.
            NotFoundError: there is no such trial, or it was not measured.
        """
        if trial is not None:
            return TrialHandle(self, self._complete(trial))
        objectives, metric = self.spec["objectives"], self.spec["metric"]
        chosen = pick(self._points(), strategy, max_loss, objectives, metric)
        return TrialHandle(self, self._complete(chosen.trial))

    def summary(self) -> StudySummary:
        """Return the study in one line."""
        return StudySummary.of(self)

    @property
    def default_plot(self) -> Path:
        """Return where `tuner run` draws the front."""
        return tuner_home() / "studies" / self.name / "front.png"

    def plot(self, path: str | Path) -> Path:
        """Draw the front as a PNG and return its path."""
        from tuner.service.plot import plot_front

        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return plot_front(self, Path(path))

    def row(self, number: int) -> TrialRow:
        """Return one trial.

        Raises:
            NotFoundError: there is none of that number.
        """
        for row in self.rows():
            if row.number == number:
                return row
        raise NotFoundError(f"study {self.name!r} has no trial {number}; see `tuner front {self.name}`")

    def _points(self) -> list[Point]:
        return shown_points(self.study, self.trials)

    def _front(self, text: str | None = None) -> list[Point]:
        points = [p for p in self._points() if p.feasible]
        kept = where(points, parse_where(text)) if text else points
        return fronts(self.study, kept)

    def _complete(self, number: int) -> Trial:
        for trial in self.trials:
            if trial.number == number and trial.state == "complete":
                return trial
        raise NotFoundError(
            f"study {self.name!r} has no measured trial {number}; see `tuner front {self.name}`"
        )

    def _row(self, trial: Trial, standing: Standing | None) -> TrialRow:
        metrics, confirmed = search_metrics(self.study, trial), confirmed_metrics(self.study, trial)
        return TrialRow(
            number=trial.number,
            candidate=trial.candidate,
            state=trial.state,
            reason=None if trial.reason is None else f"{trial.kind}: {trial.reason}",
            metrics=metrics,
            confirmed=confirmed,
            standing=standing,
            feasible=trial.state == "complete"
            and trial.discarded_at is None
            and feasible(self.study, confirmed or metrics),
            stages=[{"name": s.name, "key": s.key, "hit": s.hit, "seconds": s.seconds} for s in trial.stages],
            host=None if trial.host is None else trial.host.name,
            worker=trial.worker,
            attempt=trial.attempt,
            discarded=trial.discard_reason,
            log_tail=trial.log_tail,
            started=trial.started_at,
            finished=trial.finished_at,
            headline=headline(self.spec["metric"]),
        )


@dataclass(frozen=True)
class TrialHandle:
    """One measured trial of a study."""

    study: StudyHandle
    trial: Trial

    @property
    def number(self) -> int:
        """Return the trial's number in its study."""
        return self.trial.number

    @property
    def row(self) -> TrialRow:
        """Return the trial with its metrics."""
        return self.study.row(self.number)

    def export(self, directory: str | Path) -> Path:
        """Write the bundle: artefact, tokenizer, its program (predict.py, chat.py), report; return its directory.

        Raises:
            InputError: the directory is not empty or cannot be written.
            TunerError: the artefact is gone from the cache and could not be built again.
        """
        from tuner.service.exporting import export_trial

        return export_trial(self, Path(directory))
