"""Across: the space of a study that names hosts. Each has a space of its own, for it has engines and cores of its own.

The host is the first choice. What makes the student is chosen under the same names on all hosts: a sampler learns of it
from each. All else carries the host's name, as the names of a space carry their conditions.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tuner.backends.base import Offer
from tuner.candidate import Backend, Candidate, Parallel, Quantization, Student, baseline, baseline_device
from tuner.errors import InputError
from tuner.search.choice import Choice
from tuner.search.precision import legs
from tuner.search.space import Chooser, Space
from tuner.spec.axes import Axes

_STUDENT = ("student_layers", "heads", "ffn")


@dataclass(frozen=True)
class Able:
    """What a host can do: what its engines offer, and how many cores a worker there may use."""

    offers: list[tuple[str, Offer]]
    cores: int

    @property
    def devices(self) -> set[str]:
        """Return the devices on which PyTorch runs there."""
        return {offer.device for engine, offer in self.offers if engine == "torch" and offer.available}


class Across(Space):
    """The candidates of a study on all hosts that it names, each asking for one of them.

    Args:
        axes, anatomy, clients: as of a `Space`.
        hosts: what each can do, by name, in the study's order.

    Raises:
        InputError: as a `Space` does; the message names the host.
    """

    def __init__(
        self, axes: Axes, anatomy: Mapping[str, Any], hosts: Mapping[str, Able], clients: int = 1
    ) -> None:
        offers = [offer for able in hosts.values() for offer in able.offers]
        legs(axes, offers, int(anatomy["layers"]))  # what none of them has is said
        self._spaces = {name: _space(axes, anatomy, name, able, clients) for name, able in hosts.items()}
        first, spaces = next(iter(self._spaces.values())), self._spaces.items()
        self.teacher_layers, self.depths, self.heads, self.ffn = (
            *(first.teacher_layers, first.depths),
            *(first.heads, first.ffn),
        )
        self.cores = max(space.cores for space in self._spaces.values())
        self.legs = [leg for _, space in spaces for leg in space.legs]
        self.notes = [f"host {name}: {note}" for name, space in spaces for note in space.notes]
        self.baseline = first.baseline.on(next(iter(hosts)))

    def parts(self) -> list[Space]:
        """See `Space.parts`."""
        return [self.only(name) for name in self._spaces]

    def only(self, host: str) -> Across:
        """Return the space of one of the hosts.

        Raises:
            KeyError: it is none of the study's.
        """
        alone, space = object.__new__(Across), self._spaces[host]
        alone.__dict__ |= space.__dict__ | {"_spaces": {host: space}, "baseline": space.baseline.on(host)}
        return alone

    def sparsities(self, quantization: Quantization, backend: Backend) -> tuple[bool, ...]:
        """See `Space.sparsities`."""
        assert backend.host is not None  # all of `pairs` name theirs
        return self._spaces[backend.host].sparsities(quantization, backend)

    def runs(self, student: Student, quantization: Quantization, backend: Backend) -> list[Parallel]:
        """See `Space.runs`."""
        assert backend.host is not None  # all of `pairs` name theirs
        return self._spaces[backend.host].runs(student, quantization, backend)

    def pairs(self) -> list[tuple[Quantization, Backend]]:
        """See `Space.pairs`."""
        return [
            (quantization, backend.model_copy(update={"host": name}))
            for name, space in self._spaces.items()
            for quantization, backend in space.pairs()
        ]

    def size(self) -> int:
        """See `Space.size`."""
        return sum(space.size() for space in self._spaces.values())

    def enumerate(self) -> Iterator[Candidate]:
        """See `Space.enumerate`."""
        for name, space in self._spaces.items():
            yield from (candidate.on(name) for candidate in space.enumerate())

    def draw(self, rng: random.Random) -> Candidate:
        """See `Space.draw`; each host is as likely."""
        name = rng.choice(list(self._spaces))
        return self._spaces[name].draw(rng).on(name)

    def signature(self) -> dict[str, Any]:
        """See `Space.signature`."""
        return {"hosts": {name: space.signature() for name, space in self._spaces.items()}}

    def __contains__(self, candidate: object) -> bool:
        if not isinstance(candidate, Candidate) or candidate.backend.host not in self._spaces:
            return False
        return candidate.on(None) in self._spaces[candidate.backend.host]

    def _walk(self, choose: Chooser) -> Candidate:
        host = choose(Choice("host", "host", list(self._spaces), ordered=False))

        def there(choice: Choice) -> Any:
            return choose(
                choice if choice.field in _STUDENT else replace(choice, name=f"{host}.{choice.name}")
            )

        return self._spaces[host]._walk(there).on(host)


def _space(axes: Axes, anatomy: Mapping[str, Any], name: str, able: Able, clients: int) -> Space:
    """Return the space of one host: of what the study names it tries what this one has."""
    runs = [(engine, offer) for engine, offer in able.offers if offer.available]
    devices = [d for d in axes.backend.devices if any(d == offer.device for _, offer in runs)]
    engines = axes.backend.engines and [
        e for e in axes.backend.engines if any(e == engine for engine, _ in runs)
    ]
    if not devices or engines == []:
        raise InputError(f"axes.backend.hosts: {name} has none of the study's devices and engines")
    here = axes.backend.model_copy(update={"devices": devices, "engines": engines})
    try:
        space = Space(axes.model_copy(update={"backend": here}), anatomy, able.offers, able.cores, clients)
    except InputError as error:
        raise InputError(f"host {name}: {error}") from None
    device = baseline_device(axes.backend.devices, able.devices)
    space.baseline = baseline(space.teacher_layers, able.cores, device)
    return space
