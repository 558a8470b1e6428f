"""What a GPU says of itself while it is measured: clocks, temperature, power, memory, energy, and who else uses it.

All of it comes from NVML (the package nvidia-ml-py); without it, or where a card does not tell, it is None.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from tuner.gpus import Gpu, nvml
from tuner.hardware import Host

if TYPE_CHECKING:
    from tuner.measure.client import Serving

_T = TypeVar("_T")
#: Devices that are NVIDIA's cards.
NVIDIA = ("cuda", "tensorrt")
_PROCESSOR = "cpu"
#: From this share of its time on a process computes on a card; below, it only holds memory there.
_COMPUTES = 0.02


def cards_of(host: Host, artefact: Path, replicas: int, ranks: int = 1) -> list[list[Gpu]]:
    """Return the cards of each replica, one for each rank: the host's in turn; none where the artefact runs on none."""
    if device_of(artefact) not in NVIDIA or not host.gpus:
        return [[] for _ in range(replicas)]
    turn = [host.gpus[i % len(host.gpus)] for i in range(replicas * ranks)]
    return [turn[i : i + ranks] for i in range(0, len(turn), ranks)]


def device_of(artefact: Path) -> str:
    """Return the device that an artefact runs on."""
    return str(json.loads((artefact / "artefact.json").read_text()).get("device", _PROCESSOR))


def account(servings: Sequence[Serving], cards: Sequence[Gpu]) -> dict[str, Any]:
    """Return what GPUs say of a subject's replicas that have been measured; `cards` are those of all, in order.

    `memory_mb` of all replicas together: what NVML says that they hold, or where it does not list them (inside
    containers) what PyTorch's allocator took at most; `replicas`: each one's own answer (see `Placed.details`), with
    `held_mb` by NVML; `cards`; `others`: processes on them that are not ours, which a measurement should be without.
    """
    each = len(cards) // len(servings)
    replicas: list[dict[str, float | None]] = [
        {**serving.details(), "held_mb": _held(serving, cards[i * each : (i + 1) * each])}
        for i, serving in enumerate(servings)
    ]
    distinct = list(dict.fromkeys(cards))
    return {
        "memory_mb": sum(r["held_mb"] or r.get("reserved_mb") or 0.0 for r in replicas),
        "replicas": replicas,
        "cards": [asdict(card) for card in distinct],
        "others": sorted({pid for card in distinct for pid in others(card, our_processes())}),
    }


def states(cards: Sequence[Gpu]) -> list[dict[str, float | None]]:
    """Return the state of each card, once."""
    return [state(card) for card in dict.fromkeys(cards)]


def state(card: Gpu) -> dict[str, float | None]:
    """Return clocks in MHz, temperature in °C, power in W, the share of time it was busy, and why clocks are held.

    `held` is NVML's bit field of reasons; 0 and 1 (idle) are none.
    """
    return {
        "sm_mhz": _ask(card, lambda n, c: float(n.nvmlDeviceGetClockInfo(c, n.NVML_CLOCK_SM))),
        "memory_mhz": _ask(card, lambda n, c: float(n.nvmlDeviceGetClockInfo(c, n.NVML_CLOCK_MEM))),
        "temperature_c": _ask(
            card, lambda n, c: float(n.nvmlDeviceGetTemperature(c, n.NVML_TEMPERATURE_GPU))
        ),
        "power_w": _ask(card, lambda n, c: n.nvmlDeviceGetPowerUsage(c) / 1e3),
        "busy": _ask(card, lambda n, c: n.nvmlDeviceGetUtilizationRates(c).gpu / 100),
        "held": _ask(card, lambda n, c: float(n.nvmlDeviceGetCurrentClocksThrottleReasons(c))),
    }


def held_mb(card: Gpu, pid: int) -> float | None:
    """Return the card's memory that a process holds, in MB, its CUDA context included.

    Allocators keep what they took, so after a measurement this is its peak.
    """
    used = (_users(card) or {}).get(pid)
    return None if used is None else used / 1e6


def _held(serving: Serving, cards: Sequence[Gpu]) -> float | None:
    """Return what all ranks of a replica hold, each on its card; None where one card does not tell."""
    found = [held_mb(card, pid) for card, pid in zip(cards, serving.pids(), strict=True)]
    known = [one for one in found if one is not None]
    return sum(known) if len(known) == len(found) else None


def others(card: Gpu, ours: Collection[int]) -> list[int]:
    """Return the processes that compute on a card and are not ours."""
    return sorted(set(_users(card) or {}) - set(ours))


def our_processes() -> set[int]:
    """Return the ids of this process and of all that it started."""
    return {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}


def strangers(card: Gpu, since: float, ours: Collection[int]) -> list[str] | None:
    """Return who else computed on a card since a moment (of `time.time()`), a sentence for each; [] if nobody.

    None where it cannot be known: the driver keeps no account of processes (MIG, older cards), or it numbers them
    otherwise than we do, as it does inside a container: then none of ours, which compute there, is among them.
    """
    shares = _ask(card, lambda n, c: _shares(n, c, since))
    if shares is None or (shares and not set(shares) & set(ours)):
        return None
    busy = {pid: share for pid, share in shares.items() if pid not in ours and share >= _COMPUTES}
    return [f"process {pid} ({_program(pid)}) computed on {card.name} {card.index} for {share:.0%} of the time"
            for pid, share in sorted(busy.items())]  # fmt: skip


def _shares(library: Any, handle: Any, since: float) -> dict[int, float]:
    """Return by process the largest share of the time, 0 to 1, that it computed for since a moment."""
    found: dict[int, float] = {}
    try:
        samples = library.nvmlDeviceGetProcessUtilization(handle, round(since * 1e6))
    except library.NVMLError_NotFound:  # nobody computed
        return found
    for sample in samples:
        found[sample.pid] = max(found.get(sample.pid, 0.0), sample.smUtil / 100)
    return found


def _program(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "of another user or over by now"


def joules(card: Gpu) -> float | None:
    """Return the energy that a card has used since its driver was loaded."""
    return _ask(card, lambda n, c: n.nvmlDeviceGetTotalEnergyConsumption(c) / 1e3)


def metered(cards: Sequence[Gpu]) -> bool:
    """Say whether all these cards tell their energy."""
    return all(joules(card) is not None for card in cards)


def _users(card: Gpu) -> dict[int, int | None] | None:
    def asked(library: Any, handle: Any) -> dict[int, int | None]:
        return {p.pid: p.usedGpuMemory for p in library.nvmlDeviceGetComputeRunningProcesses(handle)}

    return _ask(card, asked)


def _ask(card: Gpu, question: Callable[[Any, Any], _T]) -> _T | None:
    with contextlib.suppress(Exception), nvml() as library:  # NVML's errors have a class each
        return question(library, library.nvmlDeviceGetHandleByUUID(card.uuid))
    return None
