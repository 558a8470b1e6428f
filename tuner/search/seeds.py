"""Seeds: the candidates tried first, because a person would try them first.

A handful of them is worth about as much as the gate in small budgets; together they cover every engine, every
bit width and at least three depths, whatever the sampler does afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TypeVar

from tuner.candidate import Backend, Candidate, Distillation, Parallel, Pruning, Quantization
from tuner.search.space import Space
from tuner.spec.model import GENERATION

#: Engines by how fast they usually are on a CPU; those not named stand in the middle.
_RANK = {"openvino": 0, "onnxruntime": 1, "torch-compile": 3, "torch": 4}
#: The same for language models in few bits, which go by how fast weights are read.
_RANK_GENERATES = {
    "llama-cpp": 0,
    "onnxruntime-genai": 1,
    "openvino": 2,
    "openvino-genai": 2,
    "torch-compile": 3,
    "torch": 4,
}
_MIDDLE = 2
#: So many engines also get the whole model at its narrowest: a big model on a slow engine costs minutes.
_QUICK = 2
_N = TypeVar("_N", int, float)


@dataclass(frozen=True)
class _Wish:
    """What a seed should be like; it becomes the nearest candidate that the space has."""

    depth: float = 1.0  # share of the teacher's layers; 0 is one layer
    heads: float = 0.0
    ffn: float = 0.0
    bits: int = 8
    engine: str | None = None
    replicated: bool = False  # one thread in as many replicas as possible, instead of all threads in one
    draft: str | None = None


def seeds(space: Space, task: str = "text-classification") -> list[Candidate]:
    """Return the first candidates, the untouched fp32 baseline always first, each once.

    The baseline may lie outside the space (axes without `torch`, without 32 bits, …): it is measured all the
    same, everything is held against it, but only a candidate with `seed in space` can be told to Optuna. Where hosts
    are named, each has its own, and they take turns.
    """
    first = opening(space, task)
    found = [
        [candidate for wish in _wished(part, task) if (candidate := _grant(part, wish)) is not None]
        for part in space.parts()
    ]
    return list(dict.fromkeys([*first, *_in_turn(found)]))


def opening(space: Space, task: str = "text-classification") -> list[Candidate]:
    """Return what is tried before anything is proposed: baselines, of a language model also what is known to work."""
    baselines = [part.baseline for part in space.parts()]
    if task != GENERATION:
        return baselines
    return [*baselines, *_in_turn([known_ways(part) for part in space.parts()])]


def known_ways(space: Space) -> list[Candidate]:
    """Return what a study of a language model tries before anything is proposed: peers, and the fastest one's ways."""
    return [*peers(space), *ways(space)]


def _in_turn(found: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """Return the first of each list, then the second of each."""
    return [candidate for row in zip_longest(*found) for candidate in row if candidate is not None]


def _wished(space: Space, task: str) -> Iterable[_Wish]:
    return _chat_wishes(space) if task == GENERATION else _wishes(space)


def peers(space: Space) -> list[Candidate]:
    """Return the untouched language model in 4 and in 8 bits on each engine, as its makers would do it.

    Where an engine has neither, at its narrowest. What a study finds is held against them.
    """
    engines = _ranked(space, _RANK_GENERATES)
    found = [_Wish(engine=engine, bits=bits) for bits in (4, 8) for engine in engines]
    found += [_Wish(engine=engine, bits=_narrowest(space, engine)) for engine in engines]
    return list(dict.fromkeys(c for wish in found if (c := _grant(space, wish)) is not None))


def ways(space: Space) -> list[Candidate]:
    """Return the untouched language model in each way that the fastest engine has to choose few-bit weights.

    How much each loses cannot be guessed, and hangs on how the model was published: a search begins by looking.
    """
    engine = _ranked(space, _RANK_GENERATES)[0]
    first = _grant(space, _Wish(engine=engine, bits=_fewest(space, engine)))
    assert first is not None  # of bits that the engine has
    fitting = [q for q, b in space.pairs() if b == first.backend and q.bits == first.quantization.bits]
    methods = {q.method: q for q in reversed(fitting)}  # the first of each
    found = [first.model_copy(update={"quantization": q}) for q in reversed(methods.values())]
    return [candidate for candidate in found if candidate != first]


def _fewest(space: Space, engine: str) -> int:
    """Return the engine's bits nearest to four."""
    return min(_widths(space, engine), key=lambda bits: abs(bits - 4))


def _chat_wishes(space: Space) -> Iterable[_Wish]:
    """Wish for pruned language models: they bear little of it, so they keep most of their width and depth."""
    engines = _ranked(space, _RANK_GENERATES)
    few = {engine: _fewest(space, engine) for engine in engines}
    for engine in engines[:_QUICK]:
        yield _Wish(engine=engine, bits=few[engine], ffn=0.25)
        yield _Wish(engine=engine, bits=few[engine], depth=0.9)
    yield _Wish(engine=engines[0], bits=few[engines[0]], depth=0.9, ffn=0.25)
    yield _Wish(engine=engines[0], bits=few[engines[0]], replicated=True)
    yield _Wish(engine=engines[0], bits=few[engines[0]], draft="student")
    for bits in space.bits:
        yield _Wish(engine=_first_with(space, engines, bits), bits=bits)


def _ranked(space: Space, rank: Mapping[str, int]) -> list[str]:
    return sorted(space.engines, key=lambda name: rank.get(name, _MIDDLE))


def _first_with(space: Space, engines: list[str], bits: int) -> str:
    return next(e for e in engines if bits in _widths(space, e))


def _wishes(space: Space) -> Iterable[_Wish]:
    engines = _ranked(space, _RANK)
    best, tiny = engines[0], _Wish(depth=0.0, heads=0.5, ffn=0.75)
    half, third = _Wish(depth=0.5, heads=0.5, ffn=0.5), _Wish(depth=0.34, heads=0.75, ffn=0.75)
    for engine in engines[
        :_QUICK
    ]:  # today's best without touching the model: int8, else the narrowest above it
        yield _Wish(engine=engine, bits=_narrowest(space, engine))
    for engine in engines:  # the same small student everywhere: it is made once, and tells the engines apart
        yield replace(tiny, engine=engine, bits=_narrowest(space, engine))
    yield replace(half, engine=best)
    for engine in engines[:_QUICK]:  # the smallest of all: how fast can it get?
        yield _Wish(engine=engine, depth=0.0, heads=1.0, ffn=1.0)
    for engine in engines[1:2]:
        yield replace(third, engine=engine)
    yield replace(third, engine=best, replicated=True)
    narrowest = {_narrowest(space, engine) for engine in engines}
    for bits in sorted(
        set(space.bits) - narrowest
    ):  # the other bit widths, on the first engine that has them
        yield replace(tiny, engine=_first_with(space, engines, bits), bits=bits)


def _narrowest(space: Space, engine: str) -> int:
    widths = _widths(space, engine)
    return min((b for b in widths if b >= 8), default=min(widths))


def _widths(space: Space, engine: str) -> set[int]:
    return {leg.bits for leg in space.legs if leg.engine == engine}


def _grant(space: Space, wish: _Wish) -> Candidate | None:
    pair = _pair(space, wish)
    if pair is None:
        return None
    depth = _nearest(space.depths, wish.depth * space.teacher_layers or 1)
    heads, ffn = _nearest(space.heads, wish.heads), _nearest(space.ffn, wish.ffn)
    return Candidate(
        distillation=Distillation(student_layers=depth),
        pruning=Pruning(heads=heads, ffn=ffn),
        quantization=pair[0],
        parallel=_run(space.runs((depth, heads, ffn), *pair), wish.replicated),
        backend=pair[1],
    )


def _run(runs: Iterable[Parallel], replicated: bool) -> Parallel:
    """Return the fewest processes of a model and the most slots, with all threads in one replica or one in many."""
    if replicated:
        return min(runs, key=lambda run: (run.ranks, run.threads, -run.replicas, -run.slots))
    return min(runs, key=lambda run: (run.ranks, -run.threads, run.replicas, -run.slots))


def _pair(space: Space, wish: _Wish) -> tuple[Quantization, Backend] | None:
    """Return engine and number format, drafting as wished; a fixed shape where there is one, it is worth 15 to 20 %."""
    fitting = [p for p in space.pairs() if p[1].engine == wish.engine and p[0].bits == wish.bits]
    return max(fitting, key=lambda p: (p[1].draft == wish.draft, p[1].fixed_shape), default=None)


def _nearest(values: list[_N], wanted: float) -> _N:
    return min(values, key=lambda value: (abs(value - wanted), value))
