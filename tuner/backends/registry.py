"""The engines that are installed, found through the entry points `tuner.backends`."""

from __future__ import annotations

import importlib.metadata
from functools import cache
from typing import get_args

from tuner.backends.base import BackendPlugin, Offer, TaskName
from tuner.hardware import Host

GROUP = "tuner.backends"


@cache
def backends() -> dict[str, BackendPlugin]:
    """Return every plug-in that could be loaded, by name."""
    return {name: plugin for name, plugin in _loaded().items() if isinstance(plugin, BackendPlugin)}


def offers(host: Host, task: str | None = None) -> list[tuple[str, Offer]]:
    """Return (engine, offer) for all engines, of one task or of all.

    A plug-in that fails is a refusal, with the reason.
    """
    found: list[tuple[str, Offer]] = []
    for name, plugin in _loaded().items():
        if isinstance(plugin, BackendPlugin):
            found += [(name, offer) for offer in _offers_of(plugin, host)]
        else:
            found += [(name, offer) for offer in _refusals(str(plugin))]
    return [(name, offer) for name, offer in found if task in (None, offer.task)]


@cache
def _loaded() -> dict[str, BackendPlugin | str]:
    points = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name)
    return {point.name: _load(point) for point in points}


def _load(point: importlib.metadata.EntryPoint) -> BackendPlugin | str:
    try:
        plugin = point.load()()
    except Exception as error:  # somebody else's code: its failure is a reason, not ours
        return f"the plug-in {point.value} does not load: {type(error).__name__}: {error}"
    return plugin if isinstance(plugin, BackendPlugin) else f"{point.value} is not a backend"


def _offers_of(plugin: BackendPlugin, host: Host) -> list[Offer]:
    try:
        return plugin.offers(host)
    except Exception as error:
        return _refusals(f"{type(error).__name__}: {error}")


def _refusals(reason: str) -> list[Offer]:
    """Return that nothing runs, for every task: who asks for one of them is told why."""
    return [Offer("cpu", 32, available=False, reason=reason, task=task) for task in get_args(TaskName)]
