"""Meters: the processor's own energy counters, as Linux shows Intel's and AMD's (RAPL, through powercap), or why not.

The zones are those of the kernel's powercap interface (Documentation/power/powercap): `energy_uj` counts microjoules up
to `max_energy_range_uj` and starts again at 0. Measured are the packages, and beside them the memory of those servers
whose package does not contain it (Intel SDM volume 3, "RAPL domains"). A package's `core` and `uncore` are part of it,
and so is all of it of `psys`, the whole board: they would count twice.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
#: Where a container finds the machine's counters, if that is not where the kernel shows them.
ELSEWHERE = "TUNER_POWERCAP"
_COUNTER, _RANGE = "energy_uj", "max_energy_range_uj"


@dataclass(frozen=True)
class Meters:
    """Paths of the counters that can be read; `refusal` says why there are none, and is empty where there are."""

    counters: tuple[str, ...]
    refusal: str = ""


def power_meters(root: Path | None = None) -> Meters:
    """Return the processor's meters below `root`: by default TUNER_POWERCAP's folder, else the kernel's own."""
    root = root or Path(os.environ.get(ELSEWHERE) or POWERCAP)
    found = list(_zones(root))
    readable = tuple(str(path) for path in found if os.access(path, os.R_OK))
    return Meters(readable) if readable else Meters((), _refusal(root, found))


def joules(counter: str) -> float:
    """Return where a counter stands, in joules."""
    return int(Path(counter).read_text()) / 1e6


def spent(counter: str, before: float, after: float) -> float:
    """Return the joules between two readings of a counter, between which it started again at most once."""
    return after - before if after >= before else after - before + _range(counter)


def _range(counter: str) -> float:
    """Return where the counter starts again, in joules."""
    return int(Path(counter).with_name(_RANGE).read_text()) / 1e6


def _zones(root: Path) -> Iterator[Path]:
    """Yield the counters of packages and of memory, sorted; zones of a zone are `intel-rapl:0:1`."""
    for folder in sorted(root.glob("*-rapl:*")):
        parts, counter = folder.name.count(":"), folder / _COUNTER
        if counter.exists() and _name(folder).startswith({1: "package", 2: "dram"}.get(parts, "\0")):
            yield counter


def _name(zone: Path) -> str:
    name = zone / "name"
    return name.read_text().strip() if name.is_file() else ""


def _refusal(root: Path, found: list[Path]) -> str:
    if found:
        return f"only root may read {found[0]}: sudo chmod a+r {root}/*/{_COUNTER}"
    if platform.system() != "Linux" and not root.is_dir():
        return f"no meter of {platform.system()} is known: RAPL is read on Linux"
    why = "has no package's counter" if root.is_dir() else "is not there"
    return f"the kernel shows no RAPL: {root} {why}, as in most virtual machines and containers"
