"""Outlook: before a study runs, how many candidates it has here, what cannot run, and about how long it takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.backends.base import Offer
from tuner.errors import InputError
from tuner.search.space import Space
from tuner.service.costs import Estimate, estimate
from tuner.service.local import this_machine
from tuner.service.overview import state_of
from tuner.service.requires import offers_in
from tuner.spec.model import StudySpec
from tuner.spec.sources import resolve
from tuner.store import Store

Offers = Sequence[tuple[str, Offer]]


@dataclass(frozen=True)
class Abilities:
    """What the machines at hand offer: `of` says whose; `cores` of the largest; `hosts` are fingerprints."""

    of: str
    offers: list[tuple[str, Offer]]
    cores: int
    hosts: tuple[str, ...] = ()

    def of_task(self, task: str) -> list[tuple[str, Offer]]:
        """Return the offers of one task."""
        return [(engine, offer) for engine, offer in self.offers if offer.task == task]


@dataclass(frozen=True)
class Outlook:
    """What to expect. `seconds` are of the search by one worker, None where nothing comparable was measured.

    `estimate` says what they are made of; `capped` that the budget's minutes end the search before,
    `open_ended` that it ends by itself, at a time that nobody knows yet.
    """

    candidates: int | None
    trials: int | None
    seconds: tuple[float, float] | None
    notes: tuple[str, ...]
    problem: str | None = None
    estimate: Estimate | None = None
    capped: bool = False
    open_ended: bool = False


def abilities(store: Store) -> Abilities:
    """Return what the living workers offer together, or this machine where there is none.

    Raises:
        TunerError: there is no worker, and this machine's engines cannot be asked.
    """
    alive = [w for w in store.workers() if state_of(w) == "alive" and w.capabilities.get("offers")]
    if alive:
        cores = max(int(w.capabilities["cores"]) for w in alive)
        return Abilities(
            f"{len(alive)} worker{'s' if len(alive) > 1 else ''}",
            offers_in(*(w.capabilities for w in alive)),
            cores,
            tuple(sorted({w.host.fingerprint for w in alive if w.host is not None})),
        )
    found = this_machine()
    known = Offer.__dataclass_fields__
    offers = [
        (
            str(b["engine"]),
            Offer.from_plain({k: v for k, v in b.items() if k in known}),
        )
        for b in found["backends"]
    ]
    return Abilities("this machine", offers, len(found["host"]["cores"]))


def outlook(store: Store, spec: StudySpec, able: Abilities) -> Outlook:
    """Return what to expect of a study."""
    layers = teacher_layers(spec)
    trials = spec.budget.trials
    try:
        offers = able.of_task(spec.task)
        clients = spec.scenario.clients
        space = None if layers is None else Space(spec.axes, _anatomy(layers), offers, able.cores, clients)
    except InputError as error:
        return Outlook(None, trials, None, (), str(error))
    size = None if space is None else space.size()
    known = None
    open_ended = trials is None and spec.budget.minutes is None  # it ends by itself: nobody knows when
    count = None if open_ended else _least(trials, size)
    if space is not None and layers is not None and count is not None:
        known = estimate(store, spec, space, layers, count, able.hosts)
    seconds, capped = _seconds(known, spec)
    notes = tuple(space.notes) if space else ()
    return Outlook(size, trials, seconds, notes, None, known, capped, open_ended)


def _least(*counts: int | None) -> int | None:
    return min((n for n in counts if n is not None), default=None)


def _seconds(known: Estimate | None, spec: StudySpec) -> tuple[tuple[float, float] | None, bool]:
    """Return how long the search takes, and whether the budget's minutes end it before all was tried."""
    cap = None if spec.budget.minutes is None else spec.budget.minutes * 60
    if known is None:
        return (None if cap is None else (cap, cap)), cap is not None
    low, high = known.seconds
    if cap is None:
        return (low, high), False
    return (min(low, cap), min(high, cap)), high > cap


def teacher_layers(spec: StudySpec) -> int | None:
    """Return the model's depth, as far as it can be told without loading it."""
    config: Mapping[str, Any] = spec.model.config or {}
    if spec.model.source is not None:
        with suppress(InputError, OSError, ValueError):
            found = resolve(spec.model.source, spec.base)
            if isinstance(found, Path):
                config = json.loads((found / "config.json").read_text())
    for name in ("num_hidden_layers", "n_layers"):
        if isinstance(config.get(name), int):
            return int(config[name])
    asked = spec.axes.distillation.student_layers
    return max(asked) if asked else None


def _anatomy(layers: int) -> dict[str, Any]:
    return {"layers": layers, "heads": 0, "ffn": 0, "hidden": 0, "refused": {}}
