"""Energy: read from real meters (RAPL through powercap, a GPU's own through NVML), or not at all; never estimated.

What a meter counts is the whole processor, or the whole card, while requests are answered: its idle power is part of
it, and so is what others do on it. From the power that a data sheet names nothing can be said of one request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tuner.gpus import Gpu
from tuner.hardware import Host
from tuner.measure import gpu
from tuner.measure.gpu import metered
from tuner.meters import joules, spent
from tuner.metrics import Estimate

#: Runs of the work, each of which gives a value: from their spread comes the interval.
RUNS = 5
_PROCESSOR = ("cpu",)


def energy_refusal(host: Host, devices: Sequence[str] = _PROCESSOR) -> str | None:
    """Return why energy cannot be measured on a host's devices, None where it can on all of them.

    A GPU has a meter of its own; the processor's is added where there is one. Of other devices no meter is known, and
    the processor's would not contain them.
    """
    return next((why for device in devices if (why := _refusal(host, device)) is not None), None)


def _refusal(host: Host, device: str) -> str | None:
    if device in gpu.NVIDIA:
        known = host.gpus and metered(host.gpus)
        return (
            None if known else "its GPU has no energy counter that NVML could read (pip install nvidia-ml-py)"
        )
    if device not in _PROCESSOR:
        return f"no meter of device {device} is known"
    return None if host.meters else host.unmetered or "no power meter was looked for"


def energy_of(
    host: Host, work: Callable[[], int], device: str = "cpu", cards: Sequence[Gpu] = ()
) -> Estimate | None:
    """Return joules per request with its 95 % interval; None without a meter for `device`.

    `work` answers requests and returns how many; it is run several times. On `cards` it is their energy and, where it
    has a meter, the processor's.
    """
    if energy_refusal(host, [device]) is not None or (device in gpu.NVIDIA and not cards):
        return None
    from tuner.measure.stats import (
        mean,  # numpy and scipy: who only asks whether there is a meter waits for neither
    )

    return mean([_run(host, work, cards) for _ in range(RUNS)])


def _run(host: Host, work: Callable[[], int], cards: Sequence[Gpu]) -> float:
    """Return the joules per request of one run."""
    before, cards_before = [joules(meter) for meter in host.meters], _on(cards)
    requests = work()
    cards_after, after = _on(cards), [joules(meter) for meter in host.meters]
    used = sum(spent(meter, *ends) for meter, *ends in zip(host.meters, before, after, strict=True))
    return (used + cards_after - cards_before) / max(requests, 1)


def _on(cards: Sequence[Gpu]) -> float:
    return sum(gpu.joules(card) or 0.0 for card in cards)
