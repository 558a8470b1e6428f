"""Requires: what a trial needs of its worker, what a worker has, and why the two do not meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from tuner.backends.base import Offer
from tuner.candidate import Candidate, baseline_device
from tuner.errors import InputError
from tuner.hardware import Host, host_name
from tuner.measure.energy import energy_refusal
from tuner.metrics import COSTS
from tuner.spec.model import StudySpec
from tuner.spec.price import Price

Capabilities = Mapping[str, Any]


def capabilities(
    host: Host, offers: Iterable[tuple[str, Offer]], labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what a worker on this host has, as plain data: what it signs on with."""
    plain = plain_offers(offers)
    return {
        "host": host.name,  # machines that are alike share a host's row
        "hardware": host.fingerprint,
        "cores": len(host.cores),
        "memory_mb": host.memory_mb,
        "gpus": len(host.gpus),
        "labels": dict(labels or {}),
        "offers": plain,
        "unmetered": _unmetered(host, {offer["device"] for _, offer in plain if offer["available"]}),
    }


def _unmetered(host: Host, devices: Iterable[str]) -> dict[str, str]:
    """Return why energy cannot be measured, for each device on which it cannot."""
    found = {device: energy_refusal(host, [device]) for device in sorted(devices)}
    return {device: why for device, why in found.items() if why is not None}


def plain_offers(offers: Iterable[tuple[str, Offer]]) -> list[list[Any]]:
    """Return offers as plain data."""
    return [[engine, asdict(offer)] for engine, offer in offers]


def offers_in(*found: Capabilities, task: str | None = None) -> list[tuple[str, Offer]]:
    """Return what the engines of one or several workers offer together: available where one of them has it.

    Of one task, or of all.
    """
    merged: dict[tuple[Any, ...], tuple[str, Offer]] = {}
    for engine, plain in (pair for each in found for pair in each["offers"]):
        offer = Offer.from_plain(plain)
        key = (engine, offer.task, offer.device, offer.bits, offer.scheme)
        if key not in merged or (offer.available and not merged[key][1].available):
            merged[key] = (engine, offer)
    return [(engine, offer) for engine, offer in merged.values() if task in (None, offer.task)]


def required(spec: StudySpec, candidate: Candidate, hardware: str | None) -> dict[str, Any]:
    """Return what a candidate needs of the worker that runs it; `hardware` is a host's fingerprint or None for any."""
    needs = study_required(spec)
    run, device = candidate.parallel, candidate.backend.device
    return {
        **needs,
        **({"metered": sorted({*needs["metered"], device})} if "metered" in needs else {}),
        "engine": candidate.backend.engine,
        "device": device,
        "cores": max(run.cores, needs["cores"]),
        **({"gpus": run.ranks} if run.ranks > 1 and device == "cuda" else {}),
        **({"among": [candidate.backend.host]} if candidate.backend.host else {}),
        "hardware": hardware,
    }


def study_required(spec: StudySpec) -> dict[str, Any]:
    """Return what a study needs of every worker: it is prepared and measured against PyTorch, on its first device.

    Where hosts are named each has a baseline of its own, on the processor if its first device is not there.
    """
    asked, named = spec.requires, spec.axes.backend.hosts
    device = baseline_device(spec.axes.backend.devices, has=("cpu",) if named else ("cpu", "cuda"))
    return {
        "engine": "torch",
        "device": device,
        "cores": asked.cores or 1,
        "memory_mb": round((asked.memory_gb or 0) * 1000),
        "labels": dict(asked.labels),
        "hardware": None,
        "task": spec.task,
        **({"metered": [device]} if "energy_j" in spec.asked_metrics else {}),
        **({"among": list(named)} if named else {}),
        **({"priced": sorted(spec.price.hosts)} if _asks_named_prices(spec) and spec.price else {}),
    }


def _asks_named_prices(spec: StudySpec) -> bool:
    """Say whether costs are asked for, and only hosts that are named have any."""
    return bool(spec.price and spec.price.per_hour is None and spec.asked_metrics & {*COSTS})


def price_of(spec: Mapping[str, Any], host: str) -> float | None:
    """Return what an hour of a host costs by a study's specification, None where it does not say."""
    given = spec.get("price")
    return None if given is None else Price.model_validate(given).of(host)


def study_unmet(spec: StudySpec, having: Capabilities) -> str | None:
    """Return what a worker lacks to begin a study, None if nothing.

    Where all trials run on one hardware, it must have every engine that the study names.
    """
    missing = unmet(study_required(spec), having)
    engines = spec.axes.backend.engines or () if spec.hosts == "one" else ()
    absent = (
        _no_engine({"engine": e, "device": d, "task": spec.task}, having)
        for e in engines
        for d in spec.axes.backend.devices[:1]
    )
    return missing or next((reason for reason in absent if reason), None)


def unmet(requires: Mapping[str, Any], having: Capabilities) -> str | None:
    """Return in a few words what is missing, None if nothing is."""
    if requires.get("hardware") not in (None, having["hardware"]):
        return "the hardware that the study is bound to"
    for name, unit in (("cores", "cores"), ("memory_mb", "MB of memory"), ("gpus", "GPUs")):
        if (requires.get(name) or 0) > having.get(name, 0):
            return f"{requires[name]} {unit}"
    if having["host"] not in (among := requires.get("among", [having["host"]])):
        return f"the name of host {' or '.join(among)}"
    for device in requires.get("metered") or ():
        if device in having.get("unmetered", {}):
            return f"a power meter for {device} ({having['unmetered'][device]})"
    if having["host"] not in requires.get("priced", [having["host"]]):
        return f"a price for host {having['host']}"
    for label, value in (requires.get("labels") or {}).items():
        if having["labels"].get(label) != value:
            return f"label {label}={value}"
    return _no_engine(requires, having)


def absent(spec: StudySpec, having: Iterable[Capabilities]) -> list[str]:
    """Return the hosts that a study names and none of these workers is on, as far as it can take part."""
    there = {each["host"] for each in having if study_unmet(spec, each) is None}
    return [name for name in spec.axes.backend.hosts or () if name not in there]


def slots(having: Capabilities) -> int:
    """Return how many trials a worker runs at once: one, unless it says otherwise (a node of a Ray cluster)."""
    return int(having.get("slots", 1))


def _no_engine(requires: Mapping[str, Any], having: Capabilities) -> str | None:
    engine, device = requires.get("engine"), requires.get("device", "cpu")
    if engine is None:
        return None
    task = requires.get("task", "text-classification")
    offers = [(e, Offer.from_plain(plain)) for e, plain in having["offers"]]
    if any(e == engine and o.device == device and o.task == task and o.available for e, o in offers):
        return None
    return f"engine {engine}@{device}"


def default_worker_name() -> str:
    """Return the name of a worker that was given none: the host's, so that a restarted one gets its work back."""
    return host_name()


def refuse_unmeasurable(spec: StudySpec, host: Host) -> None:
    """Refuse to trade or bound what cannot be measured on this host: energy without a meter, costs without a price.

    Raises:
        InputError: so it is; the message says why.
    """
    named = spec.axes.backend.hosts
    if named and host.name not in named:
        raise InputError(
            f"axes.backend.hosts: this host is {host.name}, and none of {', '.join(named)}: run it on one of them, or "
            "set TUNER_HOST to the name that it has there"
        )
    devices = {baseline_device(spec.axes.backend.devices), *spec.axes.backend.devices}
    refusal = energy_refusal(host, sorted(devices)) if "energy_j" in spec.asked_metrics else None
    if refusal is not None:
        where = "objectives" if "energy_j" in spec.objectives else "constraints"
        raise InputError(f"{where}: energy_j cannot be measured on host {host.name}: {refusal}")
    if _asks_named_prices(spec) and price_of(spec.to_plain(), host.name) is None:
        raise InputError(
            f"price.hosts: no price of host {host.name}: add it, or give `per_hour` for all others"
        )
