"""Ways: among how many processes a candidate's model can be divided, by tensor or by layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from tuner.candidate import Backend, Student
from tuner.compress.widths import kept_widths
from tuner.errors import InputError
from tuner.runtime.split import Split, pipeline_refusal, tensor_refusal
from tuner.search.precision import Leg
from tuner.spec.axes import Axes, ParallelAxis

_ALONE = Split()


class Ways:
    """The divisions that a study names, each where it can be; where none can be, the model stays in one process.

    Raises:
        InputError: the study names one that nothing in its space can have; the message says why.
    """

    def __init__(self, axes: Axes, anatomy: Mapping[str, Any], legs: Sequence[Leg], cores: int) -> None:
        self._axis, self._anatomy, self._cores = axes.parallel, anatomy, cores
        self._ranks = {(leg.engine, leg.device, leg.bits): leg.ranks for leg in legs}
        self._named = list(_named(axes.parallel))
        self.divided = [way for way in self._named if way.ranks > 1]
        for way in self.divided:
            if reason := self._refusal(way, _students(axes, int(anatomy["layers"]))):
                field = "tensor" if way.tensor > 1 else "pipeline"
                raise InputError(f"axes.parallel.{field}: {way.ranks} processes: {reason}")

    def of(self, student: Student, backend: Backend, bits: int) -> Sequence[Split]:
        """Return how a student can be divided on an engine in so many bits; 2:4 weights stay in one piece."""
        most = self._ranks.get((backend.engine, backend.device, bits), 1)
        if not self.divided or most == 1 or backend.fixed_shape or backend.draft or student.semi_structured:
            return (_ALONE,)
        return self._of(student, most)

    def parallels(self, ranks: int) -> list[tuple[int, int]]:
        """Return the pairs of threads and replicas of sessions of so many processes on the processor."""
        return threads_and_replicas(self._axis, self._cores // ranks)

    def signature(self) -> list[list[int]]:
        """Return it as plain data."""
        return [[way.tensor, way.pipeline] for way in self._named]

    @lru_cache(maxsize=4096)  # noqa: B019 - a space lives as long as its study is at hand
    def _of(self, student: Student, most: int) -> tuple[Split, ...]:
        fits = (w for w in self._named if w.ranks <= most and not self._unshared(w, student))
        return tuple(fits) or (_ALONE,)

    def _unshared(self, way: Split, student: Student) -> str:
        """Return why a student cannot be divided so, or nothing."""
        if way.tensor > 1:
            return tensor_refusal(way.tensor, *kept_widths(self._anatomy, student.heads, student.ffn))
        return pipeline_refusal(way.pipeline, student.layers)

    def _refusal(self, way: Split, students: Sequence[Student]) -> str:
        """Return why nothing in the space can be divided so, or nothing."""
        if family := str(self._anatomy.get("undivided") or ""):
            return family
        able = {key: ranks for key, ranks in self._ranks.items() if ranks > 1}
        if way.ranks > self._cores:
            return f"each needs a core of its own, and this host has {self._cores}"
        if not any(ranks >= way.ranks for ranks in self._ranks.values()):
            return _no_engine(able)
        if not self.parallels(way.ranks):
            return f"no threads x replicas of the study fits beside it into the {self._cores} cores here"
        reasons = [self._unshared(way, student) for student in students]
        return "" if "" in reasons else reasons[0]


def threads_and_replicas(axis: ParallelAxis, cores: int) -> list[tuple[int, int]]:
    """Return the pairs of an axis that fit into so many cores; all doublings where it names none."""
    pairs: list[tuple[int, int]] = []
    for count in sorted(set(axis.threads or doubling(cores))):
        wanted = sorted(set(axis.replicas or doubling(max(1, cores // count))))
        pairs += [(count, r) for r in wanted if count * r <= cores]
    return pairs


def doubling(limit: int) -> list[int]:
    """Return 1, 2, 4 … and the limit itself."""
    return sorted({limit, *(2**i for i in range(limit.bit_length()) if 2**i <= limit)})


def _named(axis: ParallelAxis) -> Iterator[Split]:
    """Yield the divisions that an axis names, each of one kind."""
    tensor, pipeline = sorted(set(axis.tensor)), sorted(set(axis.pipeline))
    if min(tensor) > 1 and min(pipeline) > 1:
        raise InputError(
            "axes.parallel: tensor and pipeline: a model is divided in one way, so let one of them be 1"
        )
    yield from (Split(tensor=t) for t in tensor if 1 in pipeline)
    yield from (Split(pipeline=p) for p in pipeline if 1 in tensor and p > 1)


def _students(axes: Axes, layers: int) -> list[Student]:
    depth = max(axes.distillation.student_layers or [layers])
    return [Student(depth, heads, ffn) for heads in axes.pruning.heads for ffn in axes.pruning.ffn]


def _no_engine(able: Mapping[tuple[str, str, int], int]) -> str:
    if not able:
        return "only the engine torch divides a model, in 32 or 16 bits: of the study's engines and formats none can"
    most = {f"{engine}@{device}": ranks for (engine, device, _), ranks in able.items()}
    return "; ".join(f"{target} can have {ranks} here" for target, ranks in most.items())
