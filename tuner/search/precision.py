"""Which engine can run which number format here, within the study's ranges: the legs of the search space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from tuner.backends.base import Offer
from tuner.candidate import Backend, Quantization, Scheme
from tuner.errors import InputError
from tuner.spec.model import Axes
from tuner.spec.nearest import did_you_mean

Offers = Sequence[tuple[str, Offer]]


@dataclass(frozen=True)
class Leg:
    """One engine @ device with one number format, and if a fixed-shape build may be chosen beside it."""

    engine: str
    device: str
    bits: int
    scheme: Scheme
    group_sizes: tuple[int, ...]  # () where there is nothing to choose
    fixed_shape: tuple[bool, ...]

    @property
    def target(self) -> str:
        """Return `engine@device`."""
        return f"{self.engine}@{self.device}"

    def pairs(self) -> list[tuple[Quantization, Backend]]:
        """Return the candidate parts that this leg allows."""
        return [
            (
                Quantization.model_validate({"bits": self.bits, "scheme": self.scheme, "group_size": group}),
                Backend(engine=self.engine, device=self.device, fixed_shape=fixed),
            )
            for group in self.group_sizes or (None,)
            for fixed in self.fixed_shape
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
    scheme = offer.bits != 8 or offer.scheme in axes.quantization.schemes
    return named and offer.device in axes.backend.devices and offer.bits in axes.quantization.bits and scheme


def _leg(axes: Axes, engine: str, offer: Offer) -> Leg | None:
    groups: tuple[int, ...] = ()
    if offer.group_sizes:
        groups = tuple(g for g in sorted(set(axes.quantization.group_size)) if g in offer.group_sizes)
        if not groups:
            return None
    shapes = tuple(sorted({f for f in axes.backend.fixed_shape if offer.fixed_shape or not f}))
    if not shapes:  # the study wants fixed shapes only, and this engine has none: dynamic is all it can do
        shapes = (False,)
    return Leg(engine, offer.device, offer.bits, cast(Scheme, offer.scheme), groups, shapes)


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
