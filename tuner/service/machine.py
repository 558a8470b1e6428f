"""Machine: what of this host itself a study would feel: cores, memory, compiler, meter, lock, and who else computes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from tuner.errors import JobError
from tuner.hardware import Host

State = Literal["ok", "note", "missing"]
_GB = 1e9
_MEMORY = 2 * _GB  # free: torch, a small model and an engine
_BUSY = 0.2  # of one core: a process that takes more is felt in a latency
_LOOK = 0.5  # seconds for which processes are watched
_WAIT = 1.0  # seconds that the machine's lock is waited for


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `missing` keeps tuning from working here, `note` costs something that is not needed."""

    what: str
    state: State
    found: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return dict(vars(self))


def cores(host: Host) -> Iterator[Finding]:
    """Look which cores may be used, and at a container's limit on their time."""
    usable, there = len(host.cores), os.cpu_count() or len(host.cores)
    found = f"{usable} of {there}, {host.cpu}"
    some = usable < there
    yield Finding(
        "cores",
        "note" if some else "ok",
        found,
        "start it without taskset, or with more cores" if some else "",
    )
    quota = _quota()
    if quota is not None and quota < usable:
        yield Finding(
            *(
                "CPU time",
                "note",
                f"a quota of {quota:g} cores' time on {usable} cores: latencies will stutter",
            ),
            "give the container whole cores instead (cpuset)",
        )


def _quota(file: Path = Path("/sys/fs/cgroup/cpu.max")) -> float | None:
    """Return the cores' worth of time that a container may use, None where that is not limited."""
    try:
        most, period = file.read_text().split()
        return int(most) / int(period)
    except (OSError, ValueError):
        return None


def memory(host: Host) -> Iterator[Finding]:
    """Look how much memory is free."""
    free = psutil.virtual_memory().available
    found = f"{free / _GB:.1f} of {host.memory_mb / 1000:.1f} GB free"
    little = free < _MEMORY
    yield Finding(
        "memory", "note" if little else "ok", found, "end something: 2 GB should be free" if little else ""
    )


def compiler(host: Host) -> Iterator[Finding]:
    """Look for what torch-compile builds with."""
    if host.compiler:
        yield Finding("compiler", "ok", host.compiler)
        return
    what = "no C++ compiler with Python's headers: the engine torch-compile cannot build"
    yield Finding("compiler", "note", what, "Debian: apt-get install g++ python3-dev")


def energy(host: Host) -> Iterator[Finding]:
    """Look for a power meter."""
    from tuner.measure.energy import energy_refusal

    refusal = energy_refusal(host)
    if refusal is None:
        yield Finding("power meter", "ok", ", ".join(host.meters))
    else:
        yield Finding("power meter", "note", refusal, "energy_j cannot be an objective here; all else can")


def lock(host: Host) -> Iterator[Finding]:
    """Look if the machine's lock can be used."""
    from tuner.pipeline.quiet import Quiet, quiet_folder

    folder, end = quiet_folder(), time.monotonic() + _WAIT

    def waiting() -> None:
        if time.monotonic() > end:
            raise JobError("busy", "held")

    try:
        with Quiet(folder, waiting).exclusive():
            found = f"{folder}, free"
        yield Finding("quiet lock", "ok", found)
    except JobError:
        yield Finding("quiet lock", "ok", f"{folder}, held: another tuner builds or measures at this moment")
    except OSError as error:
        remedy = (
            "make it writable for all (chmod 1777), or name another in TUNER_QUIET, the same for all workers"
        )
        yield Finding("quiet lock", "missing", f"{folder}: {error.strerror}", remedy)


def load(host: Host) -> Iterator[Finding]:
    """Look who else computes at this moment."""
    busy = _busy()
    if not busy:
        yield Finding("load", "ok", "nothing else computes now")
        return
    named = ", ".join(f"{name} ({share:.0%} of a core)" for name, share in busy[:3])
    remedy = (
        "latencies are measured against a reference beside them, but a quiet machine gives narrower intervals"
    )
    yield Finding("load", "note", f"computing now: {named}", remedy)


def _busy() -> list[tuple[str, float]]:
    """Return other processes that compute at this moment, with their share of a core, the busiest first."""
    mine, others = os.getpid(), list(psutil.process_iter(["name"]))
    for process in others:
        _share(process)  # the first look only starts the clock
    psutil.cpu_percent(_LOOK)
    found = [(f"{p.info['name']} {p.pid}", _share(p)) for p in others if p.pid != mine]
    return sorted((pair for pair in found if pair[1] > _BUSY), key=lambda pair: -pair[1])


def _share(process: psutil.Process) -> float:
    try:
        return process.cpu_percent() / 100
    except psutil.Error:
        return 0.0
