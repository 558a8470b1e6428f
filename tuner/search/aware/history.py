"""History: what a study knows of its trials, and what they left in the cache."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tuner.candidate import Candidate
from tuner.metrics import Metrics
from tuner.stage import StageRun

Student = tuple[int, float, float]
Form = tuple[str, str, bool, int, str, int | None, str | None, int | None]
Run = tuple[int, int, int, str | None, int | None, float | None, int | None, str | None, int, int]
Drafting = tuple[str, str, str | None, int | None, float | None, int | None]


@dataclass(frozen=True)
class Item:
    """A candidate taken apart into plain tuples, which are quick to compare: a search looks at a whole space each time.

    `form` is engine, device, fixed shape, bits, scheme, group size, method and KV cache; `run` threads,
    replicas, slots, how it drafts, the host that it asks for, and among how many processes it is divided.
    """

    candidate: Candidate
    hash: str
    student: Student
    form: Form
    run: Run

    @classmethod
    def of(cls, c: Candidate) -> Item:
        """Take a candidate apart."""
        b, q, p = c.backend, c.quantization, c.parallel
        form = (b.engine, b.device, b.fixed_shape, q.bits, q.scheme, q.group_size, q.method, q.kv_bits)
        run = (p.threads, p.replicas, p.slots, *b.drafting, b.host, p.tensor, p.pipeline)
        return cls(c, c.hash, c.student, form, run)

    @property
    def weights(self) -> Form:
        """Return its number format however its weights were found, and whatever the cache holds."""
        return (*self.form[:6], None, None)

    @property
    def drafting(self) -> Drafting:
        """Return the student that drafts, and on which engine and device."""
        return (*self.form[:2], *self.run[3:7])

    @property
    def artefact(self) -> tuple[Student, Form]:
        """Return what tells its artefact from others of the study: all but how it is run."""
        return self.student, self.form


@dataclass(frozen=True)
class Seen:
    """One trial that ended. A pruned one has only the metrics that were measured before it was given up.

    `against` are the baseline's metrics of the earlier study that a trial is from, None for this study's own: what it
    measured, held against them, says something about this one, but its files are not at hand.
    """

    candidate: Candidate
    state: Literal["complete", "failed", "pruned"]
    metrics: Metrics
    stages: Sequence[StageRun] = ()
    against: Metrics | None = None

    @cached_property
    def item(self) -> Item:
        """Return the candidate taken apart."""
        return Item.of(self.candidate)


@dataclass(frozen=True)
class Made:
    """Students that were recovered, artefacts that were built from them, and those that were judged to the end.

    `drafts` are students that draft, each on its engine.
    """

    students: frozenset[Student]
    built: frozenset[tuple[Student, Form]]
    judged: frozenset[tuple[Student, Form]]
    drafts: frozenset[Drafting] = frozenset()

    @classmethod
    def by(cls, history: Iterable[Seen]) -> Made:
        """Return what these trials left in the cache. An untrained build that was refused is none of its student's."""
        names = [
            (seen.item, {stage.name for stage in seen.stages}) for seen in history if seen.against is None
        ]
        judging = {"quality", "subset"}
        return cls(
            frozenset(item.student for item, found in names if "recover" in found),
            frozenset(item.artefact for item, found in names if judging & found),
            frozenset(item.artefact for item, found in names if "quality" in found),
            frozenset(item.drafting for item, found in names if "draft" in found),
        )

    def with_item(self, item: Item) -> Made:
        """Return the same after one more candidate went all the way."""
        artefact = {item.artefact}
        built, judged = self.built | artefact, self.judged | artefact
        return Made(self.students | {item.student}, built, judged, self.drafts | {item.drafting})
