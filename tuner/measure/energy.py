"""Energy: read from a real meter (RAPL through powercap), or not at all; never estimated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tuner.hardware import Host


def energy_refusal(host: Host) -> str | None:
    """Return why energy cannot be measured on a host, or None."""
    return None if host.meters else "it has no readable power meter (RAPL under /sys/class/powercap)"


def energy_of(host: Host, work: Callable[[], int]) -> float | None:
    """Return joules per request of `work`, which does and counts requests; None without a meter."""
    if not host.meters:
        return None
    before = [_joules(meter) for meter in host.meters]
    requests = work()
    spent = [
        (now - then) % _wrap(meter)
        for meter, then, now in zip(host.meters, before, map(_joules, host.meters), strict=True)
    ]
    return sum(spent) / max(requests, 1)


def _joules(meter: str) -> float:
    return int(Path(meter).read_text()) / 1e6


def _wrap(meter: str) -> float:
    """Return where the meter's counter starts again, in joules."""
    return int(Path(meter).with_name("max_energy_range_uj").read_text()) / 1e6
