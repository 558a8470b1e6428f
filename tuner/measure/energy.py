"""Energy: read from real meters (RAPL through powercap, a GPU's own through NVML), or not at all; never estimated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tuner.gpus import Gpu
from tuner.hardware import Host
from tuner.measure.gpu import joules, metered


def energy_refusal(host: Host, devices: Sequence[str] = ("cpu",)) -> str | None:
    """Return why energy cannot be measured on a host's devices, or None.

    A GPU has a meter of its own; the processor's is added where there is one.
    """
    for device in devices:
        if device == "cuda":
            if not host.gpus or not metered(host.gpus):
                return "its GPU has no energy counter that NVML could read (pip install nvidia-ml-py)"
        elif not host.meters:
            return "it has no readable power meter (RAPL under /sys/class/powercap)"
    return None


def energy_of(host: Host, work: Callable[[], int], cards: Sequence[Gpu] = ()) -> float | None:
    """Return joules per request of `work`, which does and counts requests; None without a meter.

    On `cards` it is their energy and, where it has a meter, the processor's.
    """
    if not (metered(cards) if cards else host.meters):
        return None
    before, cards_before = [_joules(meter) for meter in host.meters], [joules(card) or 0.0 for card in cards]
    requests = work()
    cards_after = [joules(card) or 0.0 for card in cards]
    spent = [
        (now - then) % _wrap(meter)
        for meter, then, now in zip(host.meters, before, map(_joules, host.meters), strict=True)
    ]
    return (sum(spent) + sum(cards_after) - sum(cards_before)) / max(requests, 1)


def _joules(meter: str) -> float:
    return int(Path(meter).read_text()) / 1e6


def _wrap(meter: str) -> float:
    """Return where the meter's counter starts again, in joules."""
    return int(Path(meter).with_name("max_energy_range_uj").read_text()) / 1e6
