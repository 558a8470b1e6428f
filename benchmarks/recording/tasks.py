"""Tasks: what is recorded, in which order: a table that is interrupted at any time is a smaller whole table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tuner.candidate import Candidate, Distillation, Pruning, baseline
from tuner.search.space import Space
from tuner.spec.model import GENERATION

Kind = Literal["trial", "untrained", "student"]

#: Number formats by how much they tell for what they cost: first what decides fronts, last what takes half a minute.
_CLASSIFIES = (
    ("openvino", 8),
    ("onnxruntime", 8),
    ("torch", 32),
    ("openvino", 16),
    ("onnxruntime", 32),
    ("openvino", 4),
    ("torch", 16),
    ("onnxruntime", 4),
    ("openvino", 32),
)
_GENERATES = (
    ("llama-cpp", 8),
    ("onnxruntime-genai", 8),
    ("openvino", 8),
    ("llama-cpp", 4),
    ("onnxruntime-genai", 4),
    ("openvino", 4),
    ("torch", 16),
    ("openvino", 16),
    ("llama-cpp", 16),
)
_ORDER = {"text-classification": _CLASSIFIES, GENERATION: _GENERATES}
_CALIBRATED = ("gptq", "awq")  # a minute or two for each shape: after all that is quick
_UNTRAINED = 2  # number formats of which each shape is also built and measured untrained
_EXTRAS_AFTER = 5  # number formats; then the tables of questions beside the grid, then the rest
_STEPS = (
    0.25,
    0.5,
    1.0,
)  # shares of the study's steps that a student learns from the teacher, or from a larger one


@dataclass(frozen=True)
class Task:
    """One thing to record.

    Of a `student`, `start` is the larger one that it is cut from (None: the teacher), `steps` are what it learns in.
    """

    kind: Kind
    candidate: Candidate
    start: Candidate | None = None
    steps: int | None = None

    @property
    def id(self) -> str:
        """Return what tells it from all others of the same study."""
        parts = [self.kind, self.candidate.hash]
        parts += [self.start.hash if self.start else "teacher", str(self.steps)] if self.steps else []
        return ":".join(parts)


def tasks(space: Space, steps: int, task: str = "text-classification") -> list[Task]:
    """Return all tasks, each once: the baseline, then number format by number format over all shapes.

    `steps` are the study's own for recovery; with 0 there is nothing to ask about untrained shapes or students. A
    language model's students cannot be cut from a larger one, and each takes minutes: nothing is asked about them.
    """
    first = baseline(space.teacher_layers, space.cores)
    formats = _formats(space, _ORDER[task])
    passes = [list(_pass(space, form)) for form in formats]
    students = _students(space, steps) if steps and task != GENERATION else ()
    extras = [*students, *(_untrained(space, formats[:_UNTRAINED]) if steps else ())]
    trials = [[Task("trial", c) for c in found] for found in passes]
    early = [task for found in trials[:_EXTRAS_AFTER] for task in found]
    late = [task for found in trials[_EXTRAS_AFTER:] for task in found]
    begin = [Task("trial", first)] if first in space else []
    return list({task.id: task for task in [*begin, *early, *extras, *late]}.values())


_Format = tuple[str, int, str | None]


def _formats(space: Space, order: Sequence[tuple[str, int]]) -> list[_Format]:
    """Return (engine, bits, method) in the order to record them; what is not named comes last, the widest first."""

    def place(form: _Format) -> tuple[bool, int, str, int]:
        engine, bits, method = form
        rank = order.index((engine, bits)) if (engine, bits) in order else len(order)
        return (method or "").startswith(_CALIBRATED), rank, engine, -bits

    return sorted(dict.fromkeys(_format(c) for c in space.enumerate()), key=place)


def _format(candidate: Candidate) -> _Format:
    return candidate.backend.engine, candidate.quantization.bits, candidate.quantization.method


def _pass(space: Space, form: _Format) -> Iterator[Candidate]:
    """Yield one number format's candidates, all shapes with one way to run them before the next way."""
    own = [c for c in space.enumerate() if _format(c) == form]
    for threads, replicas in sorted(space.parallels, key=lambda pair: (pair[1], -pair[0])):
        yield from (c for c in own if (c.parallel.threads, c.parallel.replicas) == (threads, replicas))


def _untrained(space: Space, formats: Sequence[_Format]) -> Iterator[Task]:
    for form in formats:
        found = list(_pass(space, form))
        most = found[0].parallel if found else None
        for candidate in found:
            if candidate.parallel == most and not candidate.is_unshaped(space.teacher_layers):
                yield Task("untrained", candidate)


def _students(space: Space, steps: int) -> Iterator[Task]:
    """Yield some small shapes, recovered from the teacher and from a whole student of twice the depth or more."""
    whole = [depth for depth in space.depths if depth < space.teacher_layers]
    for depth in whole[:2]:
        larger = next((d for d in whole if d >= 2 * depth), None) or next(
            (d for d in whole if d > depth), None
        )
        for heads, ffn in dict.fromkeys([(0.0, space.ffn[-1]), (space.heads[-1], space.ffn[-1])]):
            target = _plain(space, depth, heads, ffn)
            starts = [None] if larger is None else [None, _plain(space, larger, 0.0, 0.0)]
            for start in starts:
                yield from (Task("student", target, start, max(1, round(steps * s))) for s in _STEPS)


def _plain(space: Space, depth: int, heads: float, ffn: float) -> Candidate:
    """Return a shape as fp32 PyTorch eager on all cores: its quality is that of its checkpoint."""
    shape = {"distillation": Distillation(student_layers=depth), "pruning": Pruning(heads=heads, ffn=ffn)}
    return baseline(space.teacher_layers, space.cores).model_copy(update=shape)


def count(found: Sequence[Task], kind: Kind) -> int:
    """Return how many tasks are of a kind."""
    return sum(task.kind == kind for task in found)
