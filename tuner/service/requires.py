"""Requires: what a trial needs of its worker, what a worker has, and why the two do not meet."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from tuner.backends.base import Offer
from tuner.candidate import Candidate, baseline_device
from tuner.errors import InputError
from tuner.hardware import Host
from tuner.measure.energy import energy_refusal
from tuner.spec.model import StudySpec

Capabilities = Mapping[str, Any]


def capabilities(
    host: Host, offers: Iterable[tuple[str, Offer]], labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what a worker on this host has, as plain data: what it signs on with."""
    return {
        "host": host.name,  # machines that are alike share a host's row
        "hardware": host.fingerprint,
        "cores": len(host.cores),
        "memory_mb": host.memory_mb,
        "gpus": len(host.gpus),
        "labels": dict(labels or {}),
        "offers": plain_offers(offers),
    }


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
    on_gpus = candidate.parallel.ranks > 1 and candidate.backend.device == "cuda"
    return {
        **needs,
        "engine": candidate.backend.engine,
        "device": candidate.backend.device,
        "cores": max(candidate.parallel.cores, needs["cores"]),
        "hardware": hardware,
        **({"gpus": candidate.parallel.ranks} if on_gpus else {}),
    }


def study_required(spec: StudySpec) -> dict[str, Any]:
    """Return what a study needs of every worker: it is prepared and measured against PyTorch, on its first device."""
    asked = spec.requires
    return {
        "engine": "torch",
        "device": baseline_device(spec.axes.backend.devices),
        "cores": asked.cores or 1,
        "memory_mb": round((asked.memory_gb or 0) * 1000),
        "labels": dict(asked.labels),
        "hardware": None,
        "task": spec.task,
    }


def study_unmet(spec: StudySpec, having: Capabilities) -> str | None:
    """Return what a worker lacks to begin a study, None if nothing.

    Where all trials run on one hardware, it must have every engine that the study names.
    """
    missing = unmet(study_required(spec), having)
    named = spec.axes.backend.engines or () if spec.hosts == "one" else ()
    absent = (
        _no_engine({"engine": e, "device": d, "task": spec.task}, having)
        for e in named
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
    for label, value in (requires.get("labels") or {}).items():
        if having["labels"].get(label) != value:
            return f"label {label}={value}"
    return _no_engine(requires, having)


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
    return socket.gethostname()


def refuse_unmeasurable(spec: StudySpec, host: Host) -> None:
    """Refuse an objective on energy where this host has no meter.

    Raises:
        InputError: it has none; the message says why.
    """
    asked = " ".join([*spec.objectives, *spec.constraints])
    refusal = energy_refusal(host, spec.axes.backend.devices)
    if "energy_j" in asked and refusal:
        raise InputError(f"objectives: energy_j cannot be measured on this host: {refusal}")
