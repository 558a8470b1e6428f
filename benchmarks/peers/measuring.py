"""One protocol for all: accuracy on the test split through the session that serves, latency interleaved in one run.

The reference of every latency is the fine-tuned model in fp32 PyTorch eager on all cores; it is measured once more as
a subject (A/A), which says how far two readings of one artefact differ here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers.subjects import Subject
from tuner.errors import BuildError, JobError
from tuner.hardware import this_host
from tuner.measure.client import Serving
from tuner.measure.performance import Plan, measure_together
from tuner.metrics import Estimate
from tuner.pipeline.quiet import Quiet
from tuner.tasks import text_classification as task

AGAIN = "the same once more (A/A)"


@dataclass(frozen=True)
class Setting:
    """The documents (.npz) and calls, and how long each latency may take (seconds) to be precise (half-width)."""

    test: Path
    plan: Plan
    precision: float = 0.02
    seconds: float = 15.0


@dataclass(frozen=True)
class Quality:
    """Accuracy on the test split, and what of it was lost against the reference on the same documents."""

    accuracy: Estimate
    drop: Estimate


@dataclass(frozen=True)
class Measured:
    """A subject's figures; `ratio` is its latency over the reference's, `latency_ms` on the clock of this run."""

    subject: Subject
    quality: Quality
    ratio: Estimate
    latency_ms: Estimate

    @property
    def speedup(self) -> Estimate:
        """Return how many times faster than the reference."""
        return Estimate(value=1 / self.ratio.value, low=1 / self.ratio.high, high=1 / self.ratio.low)


@dataclass(frozen=True)
class Run:
    """All that was measured together, and what could not be: subjects with their errors. The reference comes first."""

    measured: list[Measured]
    broken: list[tuple[Subject, str]]
    reference_ms: float

    @property
    def baseline(self) -> Measured:
        """Return the reference as a subject."""
        return self.measured[0]


def measure_all(reference: Path, subjects: Sequence[Subject], setting: Setting) -> Run:
    """Measure all subjects, and the reference as the first of them."""
    again = Subject("PyTorch eager fp32", AGAIN, reference, len(this_host().cores), 1, {})
    base = _answers(again, setting.test)
    found, broken = [(again, _quality(base, base, setting.test))], []
    for subject in subjects:
        try:
            found.append((subject, _quality(base, _answers(subject, setting.test), setting.test)))
        except (JobError, BuildError) as error:
            broken.append((subject, str(error)))
    return _timed(reference, found, broken, setting)


def _timed(
    reference: Path, found: list[tuple[Subject, Quality]], broken: list[tuple[Subject, str]], setting: Setting
) -> Run:
    cores, quiet = this_host().cores, Quiet()
    with Serving(reference, len(cores), cores) as clock:
        runs = measure_together(
            [(s.artefact, s.threads, s.replicas) for s, _ in found],
            clock,
            setting.plan,
            setting.precision,
            setting.seconds,
            loading=quiet.shared(),
            alone=quiet.exclusive(),
        )
    base_ms = float(np.median([one.reference_ms for one in runs]))
    measured = [
        Measured(subject, quality, one.ratio, one.ratio.scaled(base_ms))
        for (subject, quality), one in zip(found, runs, strict=True)
    ]
    return Run(measured, broken, base_ms)


def _answers(subject: Subject, test: Path) -> np.ndarray:
    """Return the logits (documents, labels), one document a call, as it is timed."""
    cores = this_host().cores[: subject.threads]
    with Quiet().shared(), Serving(subject.artefact, subject.threads, cores) as serving:
        return serving.predict(test, batch=1)


def _quality(base: np.ndarray, logits: np.ndarray, test: Path) -> Quality:
    with np.load(test) as arrays:
        labels = arrays["labels"]
    found = {**task.evaluate(logits, labels), **task.drops(base, logits, labels)}
    return Quality(found["accuracy"], found["accuracy_drop"])
