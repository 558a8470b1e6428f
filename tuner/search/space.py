"""Space: every candidate that a study may try on this host, as a conditional search space for Optuna.

The space is the product of three independent parts: shapes (depth, heads, FFN), legs (engine, number format
and what hangs on it) and parallel (threads, replicas, slots). Inside a part the parameters are conditional and their
names carry the condition (`openvino@cpu.bits`, `openvino@cpu.4.group_size`, `openvino@cpu.4.method`,
`2t.replicas`, `llama-cpp@cpu.1r.slots`), so that grouped
TPE sees one group per branch with the same distributions each time. Parameters with a single choice are not
shown to Optuna.
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
    baseline,
    baseline_device,
)
from tuner.errors import InputError
from tuner.search.choice import Choice, distribution, from_trial, to_param
from tuner.search.precision import Drafter, Leg, Offers, legs
from tuner.spec.model import Axes

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
        self._slots = axes.parallel.slots
        self._batches = sorted(set(axes.parallel.max_batch or _ONE))
        self._batching = {leg.target for leg in self.legs if leg.batches}
        self.baseline = baseline(self.teacher_layers, cores, baseline_device(axes.backend.devices))

    @property
    def _is_mixed(self) -> bool:
        return len({leg.device == _CPU for leg in self.legs}) > 1

    def parts(self) -> list[Space]:
        """Return the spaces of the hosts that can be chosen, each with candidates that name theirs; else this one."""
        return [self]

    def parallels_on(self, device: str) -> list[tuple[int, int]]:
        """Return the pairs of threads and replicas that can be chosen on a device."""
        return self.parallels if device == _CPU else self._on_card

    def slots_on(self, backend: Backend, replicas: int) -> list[int]:
        """Return how many conversations a session may answer together, ascending.

        One, where the engine knows no more, where it drafts, and where no session has more than one client.
        """
        most = math.ceil(self.clients / replicas)
        if f"{backend.engine}@{backend.device}" not in self._batching or backend.draft or most == 1:
            return [1]
        return sorted({min(slots, most) for slots in self._slots or _doubling(most)})

    def batches_on(self, backend: Backend) -> Sequence[int]:
        """Return how many requests a call may answer, ascending; the fewest where a shape is built for one."""
        return self._batches[:1] if backend.fixed_shape else self._batches

    def runs_on(self, backend: Backend) -> list[Parallel]:
        """Return every way to run an artefact of an engine."""
        return [
            Parallel(threads=threads, replicas=replicas, slots=slots, max_batch=batch)
            for threads, replicas in self.parallels_on(backend.device)
            for slots in self.slots_on(backend, replicas)
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
        pairs, place = (
            self.parallels_on(backend.device),
            "" if backend.device == _CPU else f"{backend.device}.",
        )
        threads = choose(Choice(f"{place}threads", "threads", _unique(t for t, _ in pairs)))
        found = [r for t, r in pairs if t == threads]
        replicas = choose(Choice(f"{place}{threads}t.replicas", "replicas", found))
        together = self.slots_on(backend, replicas)
        where = f"{backend.engine}@{backend.device}.{replicas}r.slots"
        slots = choose(Choice(where, "slots", together))
        batch = choose(Choice(f"{place}max_batch", "max_batch", self.batches_on(backend)))
        parallel = Parallel(threads=threads, replicas=replicas, slots=slots, max_batch=batch)
        return _candidate(depth, heads, ffn, (quantization, backend), parallel)

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
        p, shape = candidate.parallel, candidate.pruning
        return (
            candidate.distillation.student_layers in self.depths
            and shape.heads in self.heads
            and shape.ffn in self.ffn
            and (p.threads, p.replicas) in self.parallels_on(candidate.backend.device)
            and p.slots in self.slots_on(candidate.backend, p.replicas)
            and p.max_batch in self.batches_on(candidate.backend)
            and (candidate.quantization, candidate.backend) in self.pairs()
        )

    def pairs(self) -> list[tuple[Quantization, Backend]]:
        """Return all number formats with the engines that run them."""
        return [pair for leg in self.legs for pair in leg.pairs()]

    def size(self) -> int:
        """Return the number of distinct candidates."""
        ways = sum(len(self.runs_on(backend)) for _, backend in self.pairs())
        return len(self.depths) * len(self.heads) * len(self.ffn) * ways

    def enumerate(self) -> Iterator[Candidate]:
        """Yield every candidate once."""
        pairs = self.pairs()
        for depth in self.depths:
            for heads in self.heads:
                for ffn in self.ffn:
                    for pair in pairs:
                        for parallel in self.runs_on(pair[1]):
                            yield _candidate(depth, heads, ffn, pair, parallel)

    def draw(self, rng: random.Random) -> Candidate:
        """Return a candidate, each part of which is drawn uniformly."""
        shape = rng.choice(self.depths), rng.choice(self.heads), rng.choice(self.ffn)
        pair = rng.choice(self.pairs())
        return _candidate(*shape, pair, rng.choice(self.runs_on(pair[1])))

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
            **({"slots": [self._slots, self.clients]} if self._batching and self.clients > 1 else {}),
        }


def _candidate(
    depth: int, heads: float, ffn: float, pair: tuple[Quantization, Backend], parallel: Parallel
) -> Candidate:
    return Candidate(
        distillation=Distillation(student_layers=depth),
        pruning=Pruning(heads=heads, ffn=ffn),
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
        **candidate.pruning.model_dump(),
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
    threads = sorted(set(axes.parallel.threads or _doubling(cores)))
    pairs: list[tuple[int, int]] = []
    for count in threads:
        wanted: Sequence[int] = sorted(set(axes.parallel.replicas or _doubling(max(1, cores // count))))
        pairs += [(count, r) for r in wanted if count * r <= cores]
    if not pairs:
        raise InputError(
            f"axes.parallel: no threads x replicas of the study fits into the {cores} cores here"
        )
    return pairs


def _doubling(limit: int) -> list[int]:
    """Return 1, 2, 4 … and the limit itself."""
    return sorted({limit, *(2**i for i in range(limit.bit_length()) if 2**i <= limit)})


__all__ = ["Leg", "Offers", "Space"]
