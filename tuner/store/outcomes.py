"""How trials end: complete, pruned, failed, or answered from an earlier one; and their confirmation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from tuner.candidate import Candidate
from tuner.errors import LeaseLostError, TunerError
from tuner.metrics import Estimate, Metrics
from tuner.stage import StageRun
from tuner.store.base import Repository, study_row, touch, trial_row
from tuner.store.columns import now, plain
from tuner.store.convert import HEADLINE, estimate_out, headline, metrics_out, stage_row, trial_record
from tuner.store.hosts import host_id
from tuner.store.journal import note_artefact
from tuner.store.leases import held_study, held_trial
from tuner.store.models import UNFINISHED, MeasurementRow, StageRunRow, StudyRow, TrialRow
from tuner.store.records import Artefact, Measurement, Study, Trial
from tuner.store.retry import retried

_COPIED = (
    *HEADLINE,
    *("requires", "requires_key"),
    *("kind", "reason", "metrics", "confirmed", "ratio", "confirmed_ratio", "reference_ms"),
    *("correct", "confirmed_correct", "artefact_key", "host_id", "confirmed_at"),
)


class Outcomes(Repository):
    """Write down how trials end. Each call is one transaction: a crash leaves all of it or nothing."""

    @retried
    def finish_trial(
        self,
        trial: Trial,
        metrics: Metrics,
        ratio: Estimate | float | None = None,
        stages: Sequence[StageRun] = (),
        measurements: Sequence[Measurement] = (),
        artefact_key: str | None = None,
        correct: Sequence[bool] | None = None,
        reference_ms: float | None = None,
        log_tail: str = "",
        clock_ms: float | None = None,
        artefact: Artefact | None = None,
    ) -> Trial:
        """Complete a trial, as it was claimed, with all that was found.

        `clock_ms` is where its host's clock stands with it, `artefact` what was built: both are stored along.

        Raises:
            LeaseLostError: it is finished, or another's by now; nothing was written.
        """
        with self._writing() as session:
            if (row := _ending(session, trial, "complete")) is None:
                return _stored(session, trial)
            row.log_tail = plain(log_tail)
            _set_metrics(row, metrics)
            row.ratio, row.reference_ms = _ratio(ratio), reference_ms
            row.artefact_key, row.correct = artefact_key, correct
            _set_stages(session, row, stages)
            _add_measurements(session, row, measurements)
            if artefact is not None:
                note_artefact(session, artefact, row.host_id)
            if clock_ms is not None and row.host is not None:
                study = session.get_one(StudyRow, row.study_id)
                study.clocks = {**study.clocks, row.host.fingerprint: clock_ms}
            return _done(session, row)

    @retried
    def prune_trial(
        self,
        trial: Trial,
        kind: str,
        reason: str,
        metrics: Metrics | None = None,
        ratio: Estimate | float | None = None,
        stages: Sequence[StageRun] = (),
        measurements: Sequence[Measurement] = (),
        reference_ms: float | None = None,
    ) -> Trial:
        """End a trial that was given up early (`gate`) or cannot be done (`unsupported`), with what was
        measured.

        Raises:
            LeaseLostError: it is finished, or another's by now; nothing was written.
        """
        with self._writing() as session:
            if (row := _ending(session, trial, "pruned")) is None:
                return _stored(session, trial)
            row.kind, row.reason = plain(kind, 32), plain(reason)
            _set_metrics(row, metrics or {})
            row.ratio, row.reference_ms = _ratio(ratio), reference_ms
            _set_stages(session, row, stages)
            _add_measurements(session, row, measurements)
            return _done(session, row)

    @retried
    def fail_trial(
        self, trial: Trial, kind: str, reason: str, log_tail: str = "", stages: Sequence[StageRun] = ()
    ) -> Trial:
        """End a trial as failed; `kind` is a JobError's kind, `reason` one line, `log_tail` the child's last
        lines.

        Raises:
            LeaseLostError: it is finished, or another's by now; nothing was written.
        """
        with self._writing() as session:
            if (row := _ending(session, trial, "failed")) is None:
                return _stored(session, trial)
            row.kind, row.reason, row.log_tail = plain(kind, 32), plain(reason), plain(log_tail)
            _set_stages(session, row, stages)
            return _done(session, row)

    def note_stages(self, trial: Trial, stages: Sequence[StageRun]) -> None:
        """Write down which stages a running trial went through so far; its end replaces them.

        Nothing happens if it is finished, or another's by now. Tried once: this is for who looks on, and a stage
        should not wait for it.
        """
        with self._writing() as session, contextlib.suppress(LeaseLostError):
            _set_stages(session, held_trial(session, trial), stages)

    @retried
    def repeat_trial(self, study: Study, optuna_number: int | None, candidate: Candidate, of: Trial) -> Trial:
        """Store a candidate that was asked for again, with what trial `of` found; its state is `repeated`.

        Raises:
            LeaseLostError: the study is coordinated by another than `study.worker` by now.
            TunerError: `of` is not finished, or is of another candidate.
        """
        with self._writing() as session:
            held_study(session, study)
            source = trial_row(session, of.id)
            if source.state in UNFINISHED or source.hash != candidate.hash:
                raise TunerError(f"trial {source.number} cannot answer for {candidate.label()}")
            twice = select(TrialRow).where(TrialRow.study_id == study.id, TrialRow.state == "repeated")
            twice = twice.where(TrialRow.optuna_number == optuna_number, TrialRow.hash == candidate.hash)
            if optuna_number is not None and (same := session.scalars(twice).first()) is not None:
                return trial_record(same)  # stored before; only the answer was lost
            last = session.scalar(select(func.max(TrialRow.number)).where(TrialRow.study_id == study.id))
            row = TrialRow(
                study_id=study.id,
                number=(last or 0) + 1,
                optuna_number=optuna_number,
                candidate=candidate.canonical(),
                hash=candidate.hash,
                seed=False,
                state="repeated",
                repeat_of=source.id,
                finished_at=now(),
                token=0,
                attempt=0,
                told=False,
            )
            for name in _COPIED:
                setattr(row, name, getattr(source, name))
            session.add(row)
            return _done(session, row)

    @retried
    def confirm_trial(
        self,
        study: Study,
        trial_id: str,
        metrics: Metrics,
        ratio: Estimate | float | None = None,
        measurements: Sequence[Measurement] = (),
        correct: Sequence[bool] | None = None,
    ) -> Trial:
        """Add what the confirmation found (latency again, metric on test) beside the search's own numbers.

        Confirming again replaces the metrics; the raw measurements of both stay.

        Raises:
            LeaseLostError: the study is coordinated by another than `study.worker` by now.
            TunerError: the trial is not complete.
        """
        with self._writing() as session:
            held_study(session, study)
            row = trial_row(session, trial_id)
            if row.state not in ("complete", "repeated"):
                raise TunerError(f"trial {row.number} is {row.state}; only a complete trial can be confirmed")
            row.confirmed, row.confirmed_ratio = metrics_out(metrics), _ratio(ratio)
            row.confirmed_correct, row.confirmed_at = correct, now()
            _add_measurements(session, row, measurements)
            return _done(session, row)


def _ending(session: Session, trial: Trial, state: str) -> TrialRow | None:
    """End the trial's row and return it; None where this very call did so before, and only its answer was lost."""
    study_row(session, trial.study_id)  # locked first, as everywhere
    row = trial_row(session, trial.id)
    if row.state == state and (row.worker, row.token) == (trial.worker, trial.token):
        return None
    row = held_trial(session, trial)
    row.state, row.finished_at, row.lease_until = state, now(), None
    return row


def _stored(session: Session, trial: Trial) -> Trial:
    return trial_record(trial_row(session, trial.id))


def _set_metrics(row: TrialRow, metrics: Metrics) -> None:
    row.metrics = metrics_out(metrics)
    for name, value in headline(metrics).items():
        setattr(row, name, value)


def _ratio(ratio: Estimate | float | None) -> dict[str, float] | None:
    if ratio is None:
        return None
    return estimate_out(ratio if isinstance(ratio, Estimate) else Estimate.exact(ratio))


def _set_stages(session: Session, row: TrialRow, stages: Iterable[StageRun]) -> None:
    session.execute(delete(StageRunRow).where(StageRunRow.trial_id == row.id))
    rows = [stage_row(position, stage) for position, stage in enumerate(stages)]
    for stage in rows:
        stage.trial_id = row.id
    session.add_all(rows)


def _add_measurements(session: Session, row: TrialRow, measurements: Iterable[Measurement]) -> None:
    for m in measurements:
        session.add(
            MeasurementRow(
                trial_id=row.id,
                kind=m.kind,
                samples=m.samples,
                reference_samples=m.reference_samples,
                summary=dict(m.summary),
                host_id=host_id(session, m.host) or row.host_id,
                taken_at=m.taken_at or now(),
            )
        )


def _done(session: Session, row: TrialRow) -> Trial:
    touch(session, row.study_id)
    session.flush()
    session.refresh(row)
    return trial_record(row)
