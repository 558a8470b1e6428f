"""Costs: the seconds that a candidate would still take, learnt from the stages of the study so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from statistics import fmean

from tuner.search.aware.history import Item, Made, Seen
from tuner.spec.model import GENERATION

#: Seconds before anything was seen: what such stages take on two cores for a small encoder, and a small chat model.
_FIRST = {
    "text-classification": {"student": 20.0, "build": 5.0, "performance": 4.0, "quality": 3.0},
    GENERATION: {"student": 60.0, "build": 12.0, "performance": 25.0, "quality": 25.0, "draft": 60.0},
}
_SLOW = {("text-classification", "torch-compile"): 25.0, ("text-classification", "torch"): 1.0}  # builds
_STUDENT = ("shape", "recover")
_BUILD = ("export", "build", "failed")
_OWN = 1.0  # seconds of a trial beside its stages: asking, waiting, writing


@dataclass(frozen=True)
class Remaining:
    """Seconds that a candidate's parts would still take; what is made already takes none.

    `build` is also that of a student that drafts, with all before it.
    """

    student: float
    build: float
    performance: float
    quality: float

    @property
    def total(self) -> float:
        """Return all of it, with what a trial takes beside its stages."""
        return _OWN + self.student + self.build + self.performance + self.quality


@dataclass
class Costs:
    """Means of what was paid, the nearest known first: a number format's, its engine's, any; then a first guess."""

    teacher_layers: int
    task: str = "text-classification"
    _paid: dict[Hashable, list[float]] = field(default_factory=lambda: defaultdict(list))
    _means: dict[Hashable, float] = field(default_factory=dict)

    @classmethod
    def of(cls, history: Iterable[Seen], teacher_layers: int, task: str = "text-classification") -> Costs:
        """Learn from the stages that were really made."""
        costs = cls(teacher_layers, task)
        for seen in history:
            costs._learn(seen)
        return costs

    def _learn(self, seen: Seen) -> None:
        item, spent = seen.item, defaultdict[str, float](float)
        for stage in seen.stages:
            if not stage.hit:
                part = (
                    "student" if stage.name in _STUDENT else "build" if stage.name in _BUILD else stage.name
                )
                spent[part] += stage.seconds
        for part, seconds in spent.items():
            for key in _keys(part, item):
                self._paid[key].append(seconds)

    def remaining(self, item: Item, made: Made) -> Remaining:
        """Return what a candidate would still take."""
        fresh = not item.candidate.is_unshaped(self.teacher_layers) and item.student not in made.students
        built, judged = item.artefact in made.built, item.artefact in made.judged
        drafts = item.candidate.backend.draft == "student" and item.drafting not in made.drafts
        return Remaining(
            student=self._expected("student", item) if fresh else 0.0,
            build=(0.0 if built else self._expected("build", item))
            + (self._expected("draft", item) if drafts else 0.0),
            performance=self._expected("performance", item),
            quality=0.0 if judged else self._expected("quality", item),
        )

    def _expected(self, part: str, item: Item) -> float:
        keys = _keys(part, item)
        if keys[0] not in self._means:
            self._means[keys[0]] = self._mean(part, keys, item)
        return self._means[keys[0]]

    def _mean(self, part: str, keys: list[Hashable], item: Item) -> float:
        for key in keys[:-1] if part == "build" else keys:  # another engine's builds are no guide
            if found := self._paid.get(key):
                return fmean(found)
        first = _FIRST[self.task][part]
        return _SLOW.get((self.task, item.form[0]), first) if part == "build" else first


def _keys(part: str, item: Item) -> list[Hashable]:
    """Return under what a part's seconds are remembered, the closest first."""
    if part == "student":
        return [(part, item.student[0]), (part,)]
    if part == "draft":
        return [(part, *item.drafting), (part,)]
    return [(part, item.form), (part, item.form[0]), (part,)]
