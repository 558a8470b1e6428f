"""Which engine can run which number format here, within the study's ranges: the legs of the search space."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from tuner.backends.base import Offer
from tuner.candidate import Backend, Quantization, Scheme
from tuner.errors import InputError
from tuner.spec.axes import Axes
from tuner.spec.model import GENERATION
from tuner.spec.nearest import did_you_mean

Offers = Sequence[tuple[str, Offer]]
T = TypeVar("T")
_SHALLOWER = 3  # a drafting student has such a part of the model's layers, where a study says nothing


@dataclass(frozen=True)
class Students:
    """What may be chosen of a student that drafts: its layers, the share of FFN neurons removed, and its bits."""

    layers: tuple[int, ...]
    ffn: tuple[float, ...]
    bits: tuple[int, ...]

    def all(self) -> list[Drafter]:
        """Return every student."""
        return list(itertools.product(self.layers, self.ffn, self.bits))


#: Layers, share of FFN neurons removed, and bits of a student that drafts.
Drafter = tuple[int, float, int]


@dataclass(frozen=True)
class Leg:
    """One engine @ device with one number format, and what of it may be chosen.

    `fixed_shape` holds the builds that may be tried, `methods` the ways to find low-bit weights, `kv_bits` precisions
    of the KV cache, `drafts` ways to guess ahead; () where an engine has nothing of the kind. `students` is set where
    `student` is among the drafts, and `batches` where several conversations may be answered together. `ranks` is among
    how many processes the model can be divided at most; `semi_structured` holds whether weights may be 2:4 sparse.
    """

    engine: str
    device: str
    bits: int
    scheme: Scheme
    group_sizes: tuple[int, ...]  # () where there is nothing to choose
    fixed_shape: tuple[bool, ...]
    methods: tuple[str, ...] = ()
    kv_bits: tuple[int | None, ...] = ()
    drafts: tuple[str | None, ...] = ()
    students: Students | None = None
    batches: bool = False
    ranks: int = 1
    semi_structured: tuple[bool, ...] = (False,)

    @property
    def target(self) -> str:
        """Return `engine@device`."""
        return f"{self.engine}@{self.device}"

    def pairs(self) -> list[tuple[Quantization, Backend]]:
        """Return the candidate parts that this leg allows."""
        return [
            (self.format(group, method, kv), self.backend(fixed, draft, student))
            for group in self.group_sizes or (None,)
            for method in self.methods or (None,)
            for kv in self.kv_bits or (None,)
            for fixed in self.fixed_shape
            for draft, student in self._drafting()
        ]

    def _drafting(self) -> Iterator[tuple[str | None, Drafter | None]]:
        for draft in self.drafts or (None,):
            if draft == "student" and self.students is not None:
                yield from ((draft, student) for student in self.students.all())
            else:
                yield draft, None

    def format(self, group_size: int | None, method: str | None, kv_bits: int | None) -> Quantization:
        """Return the number format with these choices."""
        chosen = {"group_size": group_size, "method": method, "kv_bits": kv_bits}
        return Quantization.model_validate({"bits": self.bits, "scheme": self.scheme, **chosen})

    def backend(self, fixed_shape: bool, draft: str | None = None, student: Drafter | None = None) -> Backend:
        """Return who runs it, and how; `student` is who drafts."""
        layers, ffn, bits = student or (None, None, None)
        drafting = {"draft": draft, "draft_layers": layers, "draft_ffn": ffn, "draft_bits": bits}
        plain = {"engine": self.engine, "device": self.device, "fixed_shape": fixed_shape, **drafting}
        return Backend.model_validate(plain)

    def signature(self) -> list[object]:
        """Return it as plain data; what only generation has is named where there is any of it."""
        own = [list(self.methods), list(self.kv_bits)] if self.methods or self.kv_bits else []
        return [
            self.target,
            self.bits,
            self.scheme,
            list(self.group_sizes),
            list(self.fixed_shape),
            *own,
            *([list(self.drafts)] if self.drafts else []),
            *([[list(student) for student in self.students.all()]] if self.students else []),
            *([list(self.semi_structured)] if self.semi_structured != (False,) else []),
        ]


def legs(axes: Axes, offers: Offers, layers: int | None = None) -> tuple[list[Leg], list[str]]:
    """Return every leg inside the axes that this host can run, and notes on what was left out and why.

    `layers` are the teacher's; without them nothing is known of students that draft.

    Raises:
        InputError: the study names an engine or device that does not exist or cannot run here, or nothing is
            left.
    """
    _check_names(axes, offers)
    found: list[Leg] = []
    notes: list[str] = []
    for engine, offer in offers:
        if not _wanted(axes, engine, offer):
            continue
        leg = _leg(axes, engine, offer, _students(axes, offers, engine, offer, layers))
        if not offer.available or leg is None:
            why = offer.reason if not offer.available else "no value of the study's ranges fits"
            notes.append(f"{engine}@{offer.device} {offer.bits} bits {offer.scheme}: {why}")
        elif leg not in found:
            found.append(leg)
    for engine in axes.backend.engines or ():
        if not any(leg.engine == engine for leg in found):
            notes.append(f"{engine}: none of the study's number formats")
    if not found:
        raise InputError(
            "axes.quantization: this host can run none of it: " + "; ".join(notes or ["no engine offers it"])
        )
    return found, notes


def _wanted(axes: Axes, engine: str, offer: Offer) -> bool:
    named = axes.backend.engines is None or engine in axes.backend.engines
    either = offer.bits != 8 or offer.task == GENERATION  # language models have one int8: weights alone
    scheme = either or offer.scheme in axes.quantization.schemes
    return named and offer.device in axes.backend.devices and offer.bits in axes.quantization.bits and scheme


def _leg(axes: Axes, engine: str, offer: Offer, students: Students | None) -> Leg | None:
    wanted = axes.quantization
    groups = tuple(g for g in sorted(set(wanted.group_size)) if g in offer.group_sizes)
    methods = offer.methods[:1] if wanted.methods is None else _both(offer.methods, wanted.methods)
    caches = () if wanted.kv_bits is None else _both(sorted(wanted.kv_bits), offer.kv_bits)
    none_fits = [
        offer.group_sizes and not groups,
        offer.methods and not methods,
        offer.kv_bits and wanted.kv_bits is not None and not caches,
    ]
    if any(none_fits):
        return None
    shapes = tuple(sorted({f for f in axes.backend.fixed_shape if offer.fixed_shape or not f}))
    if not shapes:  # the study wants fixed shapes only, and this engine has none: dynamic is all it can do
        shapes = (False,)
    scheme = cast(Scheme, offer.scheme)
    drafts = _drafts(axes, offer, students)
    return Leg(
        engine, offer.device, offer.bits, scheme, groups, shapes, methods, caches,
        drafts, students if "student" in drafts else None, offer.batches, offer.ranks, _sparsity(axes, offer),
    )  # fmt: skip


def _sparsity(axes: Axes, offer: Offer) -> tuple[bool, ...]:
    """Return whether weights may be 2:4: an engine without kernels for it would lose quality for nothing."""
    return tuple(sorted(set(axes.pruning.semi_structured))) if offer.semi_structured else (False,)


def _drafts(axes: Axes, offer: Offer, students: Students | None) -> tuple[str | None, ...]:
    """Return how answers may be drafted; () where there is no choice but not to."""
    known = [name for name in offer.drafts if name != "student" or students is not None]
    able = [name for name in axes.backend.draft if name == "none" or name in known]
    return () if able in ([], ["none"]) else tuple(None if name == "none" else name for name in able)


def _students(axes: Axes, offers: Offers, engine: str, offer: Offer, layers: int | None) -> Students | None:
    """Return the students that may draft on an engine: less deep than any model they draft for."""
    if layers is None or "student" not in axes.backend.draft:
        return None
    least = min(axes.distillation.student_layers or [layers])
    wanted = axes.backend.draft_layers or [max(layers // _SHALLOWER, 1)]
    able = {
        o.bits
        for e, o in offers
        if (e, o.device, o.task) == (engine, offer.device, offer.task) and o.available
    }
    depths = tuple(sorted(depth for depth in wanted if depth < least))
    bits = tuple(sorted(bits for bits in axes.backend.draft_bits if bits in able))
    return Students(depths, tuple(sorted(axes.backend.draft_ffn)), bits) if depths and bits else None


def _both(values: Sequence[T], others: Sequence[T | None]) -> tuple[T, ...]:
    """Return what is in both, in the order of the first; where an engine leaves no choice that is nothing."""
    return tuple(value for value in values if value in others)


def _check_names(axes: Axes, offers: Offers) -> None:
    engines = list(dict.fromkeys(engine for engine, _ in offers))
    devices = list(dict.fromkeys(offer.device for _, offer in offers))
    for device in axes.backend.devices:
        if device not in devices:
            raise InputError(
                f"axes.backend.devices: unknown device {device!r}{did_you_mean(device, devices)}"
            )
        if not any(offer.available for _, offer in offers if offer.device == device):
            raise InputError(
                f"axes.backend.devices: no engine runs on {device!r} here: {_reasons(offers, device=device)}"
            )
    for engine in axes.backend.engines or ():
        if engine not in engines:
            raise InputError(
                f"axes.backend.engines: unknown engine {engine!r}{did_you_mean(engine, engines)}"
            )
        if not any(o.available for e, o in offers if e == engine and o.device in axes.backend.devices):
            raise InputError(
                f"axes.backend.engines: {engine!r} cannot run here: {_reasons(offers, engine=engine)}"
            )


def _reasons(offers: Offers, engine: str | None = None, device: str | None = None) -> str:
    kept = [o for e, o in offers if engine in (None, e) and device in (None, o.device)]
    return "; ".join(dict.fromkeys(o.reason or "no reason given" for o in kept if not o.available))
