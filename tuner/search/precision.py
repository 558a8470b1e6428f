"""Which engine can run which number format here, within the study's ranges: the legs of the search space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from tuner.backends.base import Offer
from tuner.candidate import Backend, Quantization, Scheme
from tuner.errors import InputError
from tuner.spec.model import GENERATION, Axes
from tuner.spec.nearest import did_you_mean

Offers = Sequence[tuple[str, Offer]]
T = TypeVar("T")


@dataclass(frozen=True)
class Leg:
    """One engine @ device with one number format, and what of it may be chosen.

    `fixed_shape` holds the builds that may be tried, `methods` the ways to find low-bit weights, `kv_bits` precisions
    of the KV cache, `drafts` ways to guess ahead; () where an engine has nothing of the kind.
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

    @property
    def target(self) -> str:
        """Return `engine@device`."""
        return f"{self.engine}@{self.device}"

    def pairs(self) -> list[tuple[Quantization, Backend]]:
        """Return the candidate parts that this leg allows."""
        return [
            (self.format(group, method, kv), self.backend(fixed, draft))
            for group in self.group_sizes or (None,)
            for method in self.methods or (None,)
            for kv in self.kv_bits or (None,)
            for fixed in self.fixed_shape
            for draft in self.drafts or (None,)
        ]

    def format(self, group_size: int | None, method: str | None, kv_bits: int | None) -> Quantization:
        """Return the number format with these choices."""
        chosen = {"group_size": group_size, "method": method, "kv_bits": kv_bits}
        return Quantization.model_validate({"bits": self.bits, "scheme": self.scheme, **chosen})

    def backend(self, fixed_shape: bool, draft: str | None = None) -> Backend:
        """Return who runs it, and how."""
        return Backend(engine=self.engine, device=self.device, fixed_shape=fixed_shape, draft=draft)

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
        ]


def legs(axes: Axes, offers: Offers) -> tuple[list[Leg], list[str]]:
    """Return every leg inside the axes that this host can run, and notes on what was left out and why.

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
        leg = _leg(axes, engine, offer)
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


def _leg(axes: Axes, engine: str, offer: Offer) -> Leg | None:
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
    return Leg(
        engine, offer.device, offer.bits, scheme, groups, shapes, methods, caches, _drafts(axes, offer)
    )


def _drafts(axes: Axes, offer: Offer) -> tuple[str | None, ...]:
    """Return how answers may be drafted; () where there is no choice but not to."""
    able = [name for name in axes.backend.draft if name == "none" or name.partition("-")[0] in offer.drafts]
    return () if able in ([], ["none"]) else tuple(None if name == "none" else name for name in able)


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
