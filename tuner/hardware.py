"""Hardware: what this host has that decides what can run here and what it measures."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import socket
import sysconfig
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import psutil

from tuner.errors import InputError
from tuner.gpus import Gpu, gpus
from tuner.meters import power_meters

#: Instruction sets that an engine's choice of number format hangs on.
FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "bf16",
)
#: Under which name this machine is known, where that of its system says nothing (a container's, a rented one's).
_NAME = "TUNER_HOST"
#: What a host's name may be.
HOST_NAME = r"[A-Za-z0-9._-]{1,100}"


@dataclass(frozen=True)
class Host:
    """One machine. `cores` are the CPUs this process may use; `memory_mb` is all memory, in MB (10^6 bytes).

    `gpus` are the NVIDIA cards that it may use. `meters` are the processor's energy counters; where there are none,
    `unmetered` says why.
    """

    name: str
    cpu: str
    cores: tuple[int, ...]
    flags: tuple[str, ...]
    memory_mb: int
    os: str
    python: str
    meters: tuple[str, ...]
    compiler: str | None
    gpus: tuple[Gpu, ...] = ()
    unmetered: str = ""

    def has(self, flag: str) -> bool:
        """Say whether the processor has an instruction set of `FLAGS`."""
        return flag in self.flags

    @property
    def multiplies_bf16(self) -> bool:
        """Say whether the processor multiplies bf16 itself; elsewhere it is emulated, and slow."""
        return any(self.has(flag) for flag in ("avx512_bf16", "amx_bf16", "bf16"))

    @property
    def fingerprint(self) -> str:
        """Return 16 hex digits over all that changes a measurement: processor, cores, memory, system, GPUs if any."""
        kept: dict[str, object] = {
            "cpu": self.cpu,
            "cores": len(self.cores),
            "flags": self.flags,
            "os": self.os,
        }
        if self.gpus:  # a host without any keeps the fingerprint that it had before GPUs were looked for
            kept["gpus"] = [[gpu.name, round(gpu.memory_mb / 1000), gpu.capability] for gpu in self.gpus]
        text = json.dumps({**kept, "memory_gb": round(self.memory_mb / 1000)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, object]:
        """Return plain data."""
        return {**asdict(self), "fingerprint": self.fingerprint}


@cache
def this_host() -> Host:
    """Return this host, looked at once per process."""
    import cpuinfo

    info, meters = cpuinfo.get_cpu_info(), power_meters()
    return Host(
        name=host_name(),
        cpu=str(info.get("brand_raw") or platform.processor() or platform.machine()),
        cores=usable_cores(),
        flags=tuple(flag for flag in FLAGS if flag in set(info.get("flags", []))),
        memory_mb=round(psutil.virtual_memory().total / 1e6),
        os=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        meters=meters.counters,
        compiler=_compiler(),
        gpus=gpus(),
        unmetered=meters.refusal,
    )


def host_name() -> str:
    """Return this host's name: what TUNER_HOST says, else the system's own.

    Raises:
        InputError: TUNER_HOST is no name.
    """
    given = os.environ.get(_NAME)
    if given is not None and not re.fullmatch(HOST_NAME, given):
        raise InputError(f"{_NAME}={given!r}: write 1 to 100 letters, digits, dots, dashes or underscores")
    return given or socket.gethostname()


def usable_cores() -> tuple[int, ...]:
    """Return the CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _compiler() -> str | None:
    """Return a C++ compiler's path, if Python's headers are there too: inductor needs both."""
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    found = next((path for name in ("g++", "clang++", "c++") if (path := shutil.which(name))), None)
    return found if header.exists() else None
