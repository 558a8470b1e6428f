"""Space: every candidate that a study may try on this host, as a conditional search space for Optuna.

The space is the product of three parts: shapes (depth, heads, FFN), legs (engine, number format and what hangs on it)
and parallel (threads, replicas; where engine and shape let it, among how many processes a model is divided: `ways`).
Inside a part the parameters are conditional and their names carry the condition (`openvino@cpu.bits`,
`openvino@cpu.4.group_size`, `2t.replicas`, `1x1/2x1.tensor`, `2r.threads`), so that grouped TPE sees one group per
branch with the same distributions each time. Parameters with a single choice are not shown to Optuna.
Numbers in even steps go to Optuna as such, other ordered lists as an index: TPE then knows what is near.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuner.candidate import (
    Backend,
    Candidate,
    Distillation,
    Parallel,
    Pruning,
    Quantization,
    baseline,
    baseline_device,
)
from tuner.errors import InputError
from tuner.runtime.split import Split
from tuner.search.choice import Choice, distribution, from_trial, to_param
from tuner.search.precision import Leg, Offers, legs
from tuner.search.ways import Student, Ways, threads_and_replicas
from tuner.spec.model import Axes

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

_CPU = "cpu"
_ON_A_CARD = (1, 2, 4)  # replicas that share a GPU, where the study names none

#: Takes a choice, and the value a known candidate has there (if any); returns the chosen value.
_Chooser = Callable[[Choice], Any]


class Space:
    """The candidates of a study.

    Args:
        axes: the study's ranges.
        anatomy: `{"layers", "heads", "ffn", "hidden", "refused": {axis: reason}}` of the teacher; a refused
            axis (`student_layers`, `heads`, `ffn`) keeps the untouched value only.
        offers: what the engines offer on this host, refusals included.
        cores: CPU cores this process may use; threads x replicas stay within.

    Raises:
        InputError: an engine, device, depth or thread count that does not exist or cannot run here.
    """

    def __init__(self, axes: Axes, anatomy: Mapping[str, Any], offers: Offers, cores: int) -> None:
        self.teacher_layers, self.cores = int(anatomy["layers"]), cores
        self.legs, self.notes = legs(axes, offers)
        refused: Mapping[str, str] = anatomy.get("refused") or {}
        self.notes += [f"{axis}: {reason}" for axis, reason in refused.items()]
        self.depths = _depths(axes, self.teacher_layers, "student_layers" in refused)
        self.heads = [0.0] if "heads" in refused else sorted(set(axes.pruning.heads))
        self.ffn = [0.0] if "ffn" in refused else sorted(set(axes.pruning.ffn))
        on_card = [(1, r) for r in sorted(set(axes.parallel.replicas or _ON_A_CARD)) if r <= cores]
        #: Threads and replicas on the processor; on other devices one thread, which only hands out work.
        self.parallels = _parallels(axes, cores) if any(leg.device == _CPU for leg in self.legs) else on_card
        self._on_card = on_card
        self.ways = Ways(axes, anatomy, self.legs, cores)
        self.baseline = baseline(self.teacher_layers, cores, baseline_device(axes.backend.devices))

    @property
    def _is_mixed(self) -> bool:
        return len({leg.device == _CPU for leg in self.legs}) > 1

    def parallels_on(self, device: str, ranks: int = 1) -> list[tuple[int, int]]:
        """Return the pairs of threads and replicas that can be chosen on a device, each session of so many ranks."""
        if device != _CPU:
            return [(t, r) for t, r in self._on_card if t * r * ranks <= self.cores]
        return self.parallels if ranks == 1 else self.ways.parallels(ranks)

    def runs(self, student: Student, backend: Backend, bits: int) -> list[Parallel]:
        """Return the ways to run a student on an engine in so many bits."""
        return [
            Parallel(threads=t, replicas=r, tensor=way.tensor, pipeline=way.pipeline)
            for way in self.ways.of(student, backend, bits)
            for t, r in self.parallels_on(backend.device, way.ranks)
        ]

    @property
    def engines(self) -> list[str]:
        """Return the engines that can be proposed."""
        return list(dict.fromkeys(leg.engine for leg in self.legs))

    @property
    def bits(self) -> list[int]:
        """Return the bit widths that can be proposed, widest first."""
        return sorted({leg.bits for leg in self.legs}, reverse=True)

    def suggest(self, trial: optuna.Trial) -> Candidate:
        """Let the sampler choose a candidate, parameter by parameter."""
        return self._walk(lambda choice: from_trial(trial, choice))

    def params(self, candidate: Candidate) -> dict[str, Any]:
        """Return the Optuna parameters under which `suggest` gives this candidate.

        Raises:
            ValueError: it is not in the space.
        """
        if candidate not in self:
            raise ValueError(f"not in the search space: {candidate.label()}")
        return self._params(_known(candidate))

    def distributions(self, candidate: Candidate) -> dict[str, BaseDistribution]:
        """Return the Optuna distributions of the parameters of `params`.

        Raises:
            ValueError: it is not in the space.
        """
        wanted, found = _known(candidate), dict[str, "BaseDistribution"]()
        if candidate not in self:
            raise ValueError(f"not in the search space: {candidate.label()}")

        def choose(choice: Choice) -> Any:
            if len(choice.values) > 1:
                found[choice.name] = distribution(choice)
            return wanted[choice.field]

        self._walk(choose)
        return found

    def _params(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        params: dict[str, Any] = {}

        def choose(choice: Choice) -> Any:
            value = wanted[choice.field]
            if len(choice.values) > 1:
                params[choice.name] = to_param(choice, value)
            return value

        self._walk(choose)
        return params

    def _walk(self, choose: _Chooser) -> Candidate:
        depth = choose(Choice("student_layers", "student_layers", self.depths))
        heads = choose(Choice("heads", "heads", self.heads))
        ffn = choose(Choice("ffn", "ffn", self.ffn))
        quantization, backend = self._walk_leg(choose)
        return Candidate(
            distillation=Distillation(student_layers=depth),
            pruning=Pruning(heads=heads, ffn=ffn),
            quantization=quantization,
            parallel=self._walk_parallel(
                choose, self.ways.of((depth, heads, ffn), backend, quantization.bits), backend
            ),
            backend=backend,
        )

    def _walk_parallel(self, choose: _Chooser, ways: Sequence[Split], backend: Backend) -> Parallel:
        place = "" if backend.device == _CPU else f"{backend.device}."
        among = [f"{w.tensor}x{w.pipeline}" for w in ways]
        known = {
            "tensor": choose(
                Choice(f"{place}{'/'.join(among)}.tensor", "tensor", _unique(w.tensor for w in ways))
            )
        }
        left = [w.pipeline for w in ways if w.tensor == known["tensor"]]
        known["pipeline"] = choose(Choice(f"{place}{'/'.join(among)}.pipeline", "pipeline", left))
        ranks = known["tensor"] * known["pipeline"]
        place += f"{ranks}r." if ranks > 1 else ""
        pairs = self.parallels_on(backend.device, ranks)
        threads = choose(Choice(f"{place}threads", "threads", _unique(t for t, _ in pairs)))
        replicas = [r for t, r in pairs if t == threads]
        chosen = choose(Choice(f"{place}{threads}t.replicas", "replicas", replicas))
        return Parallel(threads=threads, replicas=chosen, **known)

    def _walk_leg(self, choose: _Chooser) -> tuple[Quantization, Backend]:
        target = choose(Choice("engine", "engine", _unique(leg.target for leg in self.legs), ordered=False))
        left = [leg for leg in self.legs if leg.target == target]
        bits = choose(Choice(f"{target}.bits", "bits", _unique(leg.bits for leg in left), ordered=False))
        left = [leg for leg in left if leg.bits == bits]
        names = _unique(leg.scheme for leg in left)
        scheme = choose(Choice(f"{target}.{bits}.scheme", "scheme", names, ordered=False))
        leg = next(leg for leg in left if leg.scheme == scheme)
        prefix = f"{target}.{bits}"
        group = choose(Choice(f"{prefix}.group_size", "group_size", leg.group_sizes or (None,)))
        method = choose(Choice(f"{prefix}.method", "method", leg.methods or (None,), ordered=False))
        kv = choose(Choice(f"{prefix}.kv_bits", "kv_bits", leg.kv_bits or (None,)))
        fixed = choose(
            Choice(f"{prefix}.{scheme}.fixed_shape", "fixed_shape", leg.fixed_shape, ordered=False)
        )
        draft = choose(Choice(f"{prefix}.draft", "draft", leg.drafts or (None,), ordered=False))
        return leg.format(group, method, kv), leg.backend(fixed, draft)

    def __contains__(self, candidate: object) -> bool:
        if not isinstance(candidate, Candidate):
            return False
        quantization, backend, shape = candidate.quantization, candidate.backend, candidate.pruning
        return (
            candidate.distillation.student_layers in self.depths
            and shape.heads in self.heads
            and shape.ffn in self.ffn
            and (quantization, backend) in self.pairs()
            and candidate.parallel in self.runs(candidate.student, backend, quantization.bits)
        )

    def pairs(self) -> list[tuple[Quantization, Backend]]:
        """Return all number formats with the engines that run them."""
        return [pair for leg in self.legs for pair in leg.pairs()]

    def size(self) -> int:
        """Return the number of distinct candidates."""
        pairs = self.pairs()
        return sum(
            len(self.parallels_on(backend.device, way.ranks))
            for student in self._students()
            for quantization, backend in pairs
            for way in self.ways.of(student, backend, quantization.bits)
        )

    def _students(self) -> Iterator[Student]:
        for depth in self.depths:
            for heads in self.heads:
                for ffn in self.ffn:
                    yield depth, heads, ffn

    def enumerate(self) -> Iterator[Candidate]:
        """Yield every candidate once."""
        pairs = self.pairs()
        for student in self._students():
            for pair in pairs:
                for parallel in self.runs(student, pair[1], pair[0].bits):
                    yield _candidate(student, pair, parallel)

    def draw(self, rng: random.Random) -> Candidate:
        """Return a candidate, each part of which is drawn uniformly."""
        student = rng.choice(self.depths), rng.choice(self.heads), rng.choice(self.ffn)
        pair = rng.choice(self.pairs())
        return _candidate(student, pair, rng.choice(self.runs(student, pair[1], pair[0].bits)))

    def untried(self, tried: Collection[str], rng: random.Random) -> Candidate | None:
        """Return a random candidate whose hash is not among `tried`, None when there is none left."""
        for _ in range(100):
            if (candidate := self.draw(rng)).hash not in tried:
                return candidate
        rest = [candidate for candidate in self.enumerate() if candidate.hash not in tried]
        return rng.choice(rest) if rest else None

    def signature(self) -> dict[str, Any]:
        """Return the space as plain data: a study must not go on in another one (indices would change
        meaning).
        """
        return {
            "student_layers": list(self.depths),
            "heads": list(self.heads),
            "ffn": list(self.ffn),
            "legs": [leg.signature() for leg in self.legs],
            "parallel": [list(pair) for pair in self.parallels],
            **({"on_card": [list(pair) for pair in self._on_card]} if self._is_mixed else {}),
            **({"ways": self.ways.signature()} if self.ways.divided else {}),
        }


def _candidate(student: Student, pair: tuple[Quantization, Backend], parallel: Parallel) -> Candidate:
    depth, heads, ffn = student
    return Candidate(
        distillation=Distillation(student_layers=depth),
        pruning=Pruning(heads=heads, ffn=ffn),
        quantization=pair[0],
        parallel=parallel,
        backend=pair[1],
    )


def _known(candidate: Candidate) -> dict[str, Any]:
    return {
        "student_layers": candidate.distillation.student_layers,
        **candidate.pruning.model_dump(),
        **dict(candidate.quantization),
        **dict(candidate.parallel),
        "engine": f"{candidate.backend.engine}@{candidate.backend.device}",
        "fixed_shape": candidate.backend.fixed_shape,
        "draft": candidate.backend.draft,
    }


def _unique(values: Iterator[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _depths(axes: Axes, layers: int, refused: bool) -> list[int]:
    wanted = axes.distillation.student_layers
    if refused:
        return [layers]
    for depth in wanted or ():
        if depth > layers:
            raise InputError(
                f"axes.distillation.student_layers: {depth} is more than the model's {layers} layers"
            )
    return sorted(set(wanted)) if wanted else list(range(1, layers + 1))


def _parallels(axes: Axes, cores: int) -> list[tuple[int, int]]:
    if pairs := threads_and_replicas(axes.parallel, cores):
        return pairs
    raise InputError(f"axes.parallel: no threads x replicas of the study fits into the {cores} cores here")


__all__ = ["Leg", "Offers", "Space"]
