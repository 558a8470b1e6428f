"""Space: every candidate that a study may try on this host, as a conditional search space for Optuna.

The space is the product of three parts: shapes (depth, heads, FFN), legs (engine, number format and what hangs on it)
and parallel (threads, replicas, slots; where engine and shape let it, among how many processes a model is divided:
`ways`). Inside a part the parameters are conditional and their names carry the condition (`openvino@cpu.bits`,
`openvino@cpu.4.group_size`, `2t.replicas`, `llama-cpp@cpu.1r.slots`, `1x1/2x1.tensor`, `2p.threads`), so that grouped
TPE sees one group per branch with the same distributions each time. Parameters with a single choice are not shown to
Optuna.
Numbers in even steps go to Optuna as such, other ordered lists as an index: TPE then knows what is near.
"""

from __future__ import annotations

import math
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
    Student,
    baseline,
    baseline_device,
)
from tuner.errors import InputError
from tuner.runtime.split import Split
from tuner.search.choice import Choice, distribution, from_trial, to_param
from tuner.search.precision import Drafter, Leg, Offers, legs
from tuner.search.ways import Ways, doubling, threads_and_replicas
from tuner.spec.axes import Axes

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

_CPU = "cpu"
_ON_A_CARD = (1, 2, 4)  # replicas that share a GPU, where the study names none
_ONE = (1,)  # requests that are answered at a time where a shape is built for one

#: Takes a choice, and the value a known candidate has there (if any); returns the chosen value.
Chooser = Callable[[Choice], Any]


class Space:
    """The candidates of a study.

    Args:
        axes: the study's ranges.
        anatomy: `{"layers", "heads", "ffn", "hidden", "refused": {axis: reason}}` of the teacher; a refused
            axis (`student_layers`, `heads`, `ffn`) keeps the untouched value only.
        offers: what the engines offer on this host, refusals included.
        cores: CPU cores this process may use; threads x replicas stay within.
        clients: conversations at the same time; where there are several, an engine may answer some of them together.

    Raises:
        InputError: an engine, device, depth or thread count that does not exist or cannot run here.
    """

    def __init__(
        self, axes: Axes, anatomy: Mapping[str, Any], offers: Offers, cores: int, clients: int = 1
    ) -> None:
        self.teacher_layers, self.cores, self.clients = int(anatomy["layers"]), cores, clients
        self.legs, self.notes = legs(axes, offers, self.teacher_layers)
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
        self._slots = axes.parallel.slots
        self._batches = sorted(set(axes.parallel.max_batch or _ONE))
        self._batching = {leg.target for leg in self.legs if leg.batches}
        self._sparsities = {(g.engine, g.device, g.bits, g.scheme): g.semi_structured for g in self.legs}
        self.baseline = baseline(self.teacher_layers, cores, baseline_device(axes.backend.devices))

    @property
    def _is_mixed(self) -> bool:
        return len({leg.device == _CPU for leg in self.legs}) > 1

    def parts(self) -> list[Space]:
        """Return the spaces of the hosts that can be chosen, each with candidates that name theirs; else this one."""
        return [self]

    def parallels_on(self, device: str, ranks: int = 1) -> list[tuple[int, int]]:
        """Return the pairs of threads and replicas that can be chosen on a device, each session of so many ranks."""
        if device != _CPU:
            return [(t, r) for t, r in self._on_card if t * r * ranks <= self.cores]
        return self.parallels if ranks == 1 else self.ways.parallels(ranks)

    def slots_on(self, backend: Backend, replicas: int, ranks: int = 1) -> list[int]:
        """Return how many conversations a session may answer together, ascending.

        One, where the engine knows no more, where it drafts or is divided, and where no session has several clients.
        """
        most, able = (
            math.ceil(self.clients / replicas),
            f"{backend.engine}@{backend.device}" in self._batching,
        )
        if not able or backend.draft or ranks > 1 or most == 1:
            return [1]
        return sorted({min(slots, most) for slots in self._slots or doubling(most)})

    def sparsities(self, quantization: Quantization, backend: Backend) -> tuple[bool, ...]:
        """Return whether weights may be 2:4 sparse in a number format on an engine."""
        return self._sparsities[backend.engine, backend.device, quantization.bits, quantization.scheme]

    def batches_on(self, backend: Backend) -> Sequence[int]:
        """Return how many requests a call may answer, ascending; the fewest where a shape is built for one."""
        return self._batches[:1] if backend.fixed_shape else self._batches

    def runs(self, student: Student, quantization: Quantization, backend: Backend) -> list[Parallel]:
        """Return every way to run a student's artefact of an engine."""
        return [
            Parallel(
                threads=t, replicas=r, slots=slots, max_batch=batch, tensor=way.tensor, pipeline=way.pipeline
            )
            for way in self.ways.of(student, backend, quantization.bits)
            for t, r in self.parallels_on(backend.device, way.ranks)
            for slots in self.slots_on(backend, r, way.ranks)
            for batch in self.batches_on(backend)
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

    def _walk(self, choose: Chooser) -> Candidate:
        depth = choose(Choice("student_layers", "student_layers", self.depths))
        heads = choose(Choice("heads", "heads", self.heads))
        ffn = choose(Choice("ffn", "ffn", self.ffn))
        quantization, backend = self._walk_leg(choose)
        where = f"{backend.engine}@{backend.device}.{quantization.bits}.{quantization.scheme}"
        sparsities = self.sparsities(quantization, backend)
        sparse = choose(Choice(f"{where}.semi_structured", "semi_structured", sparsities, ordered=False))
        student = Student(depth, heads, ffn, sparse)
        way = self._walk_way(choose, self.ways.of(student, backend, quantization.bits))
        parallel = self._walk_parallel(choose, way, backend)
        return _candidate(student, (quantization, backend), parallel)

    def _walk_way(self, choose: Chooser, ways: Sequence[Split]) -> Split:
        among = "/".join(f"{way.tensor}x{way.pipeline}" for way in ways)
        tensor = choose(Choice(f"{among}.tensor", "tensor", _unique(way.tensor for way in ways)))
        left = [way.pipeline for way in ways if way.tensor == tensor]
        return Split(tensor, choose(Choice(f"{among}.{tensor}.pipeline", "pipeline", left)))

    def _walk_parallel(self, choose: Chooser, way: Split, backend: Backend) -> Parallel:
        place = "" if backend.device == _CPU else f"{backend.device}."
        place += f"{way.ranks}p." if way.ranks > 1 else ""
        pairs = self.parallels_on(backend.device, way.ranks)
        threads = choose(Choice(f"{place}threads", "threads", _unique(t for t, _ in pairs)))
        found = [r for t, r in pairs if t == threads]
        replicas = choose(Choice(f"{place}{threads}t.replicas", "replicas", found))
        together = self.slots_on(backend, replicas, way.ranks)
        where = f"{backend.engine}@{backend.device}.{replicas}r.slots"
        slots = choose(Choice(where, "slots", together))
        batch = choose(Choice(f"{place}max_batch", "max_batch", self.batches_on(backend)))
        return Parallel(
            threads=threads,
            replicas=replicas,
            slots=slots,
            max_batch=batch,
            tensor=way.tensor,
            pipeline=way.pipeline,
        )

    def _walk_leg(self, choose: Chooser) -> tuple[Quantization, Backend]:
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
        student = None if draft != "student" else _walk_student(choose, leg, prefix)
        return leg.format(group, method, kv), leg.backend(fixed, draft, student)

    def __contains__(self, candidate: object) -> bool:
        if not isinstance(candidate, Candidate):
            return False
        pair, shape = (candidate.quantization, candidate.backend), candidate.pruning
        return (
            candidate.distillation.student_layers in self.depths
            and shape.heads in self.heads
            and shape.ffn in self.ffn
            and pair in self.pairs()
            and shape.semi_structured in self.sparsities(*pair)
            and candidate.parallel in self.runs(candidate.student, *pair)
        )

    def pairs(self) -> list[tuple[Quantization, Backend]]:
        """Return all number formats with the engines that run them."""
        return [pair for leg in self.legs for pair in leg.pairs()]

    def size(self) -> int:
        """Return the number of distinct candidates."""
        students, pairs = list(self._students()), self.pairs()
        if not self.ways.divided:  # all students are run alike
            return len(students) * sum(
                len(self.runs(student, *pair))
                for pair in pairs
                for student in self._dense_or_sparse(students[0], pair)
            )
        return sum(
            len(self.runs(student, *pair))
            for dense in students
            for pair in pairs
            for student in self._dense_or_sparse(dense, pair)
        )

    def _dense_or_sparse(self, dense: Student, pair: tuple[Quantization, Backend]) -> list[Student]:
        return [dense._replace(semi_structured=sparse) for sparse in self.sparsities(*pair)]

    def _students(self) -> Iterator[Student]:
        """Yield every student with dense weights: whether they may be 2:4 sparse hangs on who runs it."""
        for depth in self.depths:
            for heads in self.heads:
                for ffn in self.ffn:
                    yield Student(depth, heads, ffn)

    def enumerate(self) -> Iterator[Candidate]:
        """Yield every candidate once."""
        pairs = self.pairs()
        for dense in self._students():
            for pair in pairs:
                for student in self._dense_or_sparse(dense, pair):
                    for parallel in self.runs(student, *pair):
                        yield _candidate(student, pair, parallel)

    def draw(self, rng: random.Random) -> Candidate:
        """Return a candidate, each part of which is drawn uniformly."""
        student = Student(rng.choice(self.depths), rng.choice(self.heads), rng.choice(self.ffn))
        pair = rng.choice(self.pairs())
        choices = self.sparsities(*pair)
        # Where there is nothing to choose nothing is drawn: studies draw what they drew before.
        sparse = rng.choice(choices) if len(choices) > 1 else choices[0]
        student = student._replace(semi_structured=sparse)
        return _candidate(student, pair, rng.choice(self.runs(student, *pair)))

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
            **({"max_batch": list(self._batches)} if len(self._batches) > 1 else {}),
            **({"on_card": [list(pair) for pair in self._on_card]} if self._is_mixed else {}),
            **({"ways": self.ways.signature()} if self.ways.divided else {}),
            **({"slots": [self._slots, self.clients]} if self._batching and self.clients > 1 else {}),
        }


def _candidate(student: Student, pair: tuple[Quantization, Backend], parallel: Parallel) -> Candidate:
    layers, heads, ffn, sparse = student
    return Candidate(
        distillation=Distillation(student_layers=layers),
        pruning=Pruning(heads=heads, ffn=ffn, semi_structured=sparse),
        quantization=pair[0],
        parallel=parallel,
        backend=pair[1],
    )


def _walk_student(choose: Chooser, leg: Leg, prefix: str) -> Drafter:
    assert leg.students is not None  # a leg that lists `student` knows some
    students = leg.students
    return (
        choose(Choice(f"{prefix}.draft_layers", "draft_layers", students.layers)),
        choose(Choice(f"{prefix}.draft_ffn", "draft_ffn", students.ffn)),
        choose(Choice(f"{prefix}.draft_bits", "draft_bits", students.bits)),
    )


def _known(candidate: Candidate) -> dict[str, Any]:
    return {
        "student_layers": candidate.distillation.student_layers,
        **dict(candidate.pruning),
        **dict(candidate.quantization),
        **dict(candidate.parallel),
        **dict(candidate.backend),
        "engine": f"{candidate.backend.engine}@{candidate.backend.device}",
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
