"""GPUs: the NVIDIA cards that this process may use, as NVML or nvidia-smi name them; nothing where there are none."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_FIELDS = "index,uuid,name,memory.total,compute_cap,driver_version"
_PATIENCE = 20  # seconds: a driver that was asleep takes some to answer
_MIB = 1024 * 1024 / 1e6


@dataclass(frozen=True)
class Gpu:
    """One card. `memory_mb` is in MB (10^6 bytes); `capability` is CUDA's, such as 9.0; `index` the driver's own."""

    index: int
    uuid: str
    name: str
    memory_mb: int
    capability: str
    driver: str

    def has(self, capability: str) -> bool:
        """Say whether the card's compute capability is this one or a later one."""
        return _version(self.capability) >= _version(capability)


def gpus() -> tuple[Gpu, ...]:
    """Return the cards that CUDA_VISIBLE_DEVICES leaves to this process; loads neither torch nor CUDA."""
    with contextlib.suppress(Exception):  # no library, no driver, or one that is being changed
        return visible(_by_nvml(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        return visible(parsed(_smi()), os.environ.get("CUDA_VISIBLE_DEVICES"))
    return ()


def visible(found: Iterable[Gpu], setting: str | None) -> tuple[Gpu, ...]:
    """Return the cards that a CUDA_VISIBLE_DEVICES names, in its order; as CUDA does, up to the first unknown one."""
    cards = tuple(found)
    if setting is None:
        return cards
    kept: list[Gpu] = []
    for token in setting.split(","):
        named = [g for g in cards if token.strip() and _is(g, token.strip())]
        if len(named) != 1:
            break
        kept += named
    return tuple(kept)


def parsed(answer: str) -> tuple[Gpu, ...]:
    """Return what `nvidia-smi --query-gpu=… --format=csv,noheader,nounits` listed.

    Raises:
        ValueError: it is no such list.
    """
    return tuple(_card(line) for line in answer.splitlines() if line.strip())


def _card(line: str) -> Gpu:
    index, uuid, name, memory, capability, driver = (part.strip() for part in line.split(","))
    return Gpu(int(index), uuid, name, round(float(memory) * _MIB), capability, driver)


def _smi() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        raise OSError("no nvidia-smi")
    command = [program, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PATIENCE).stdout


def _by_nvml() -> tuple[Gpu, ...]:
    with nvml() as library:
        driver = _text(library.nvmlSystemGetDriverVersion())
        return tuple(_asked(library, i, driver) for i in range(library.nvmlDeviceGetCount()))


def _asked(library: Any, index: int, driver: str) -> Gpu:
    card = library.nvmlDeviceGetHandleByIndex(index)
    major, minor = library.nvmlDeviceGetCudaComputeCapability(card)
    memory = round(library.nvmlDeviceGetMemoryInfo(card).total / 1e6)
    uuid, name = (_text(library.nvmlDeviceGetUUID(card)), _text(library.nvmlDeviceGetName(card)))
    return Gpu(index, uuid, name, memory, f"{major}.{minor}", driver)


@contextlib.contextmanager
def nvml() -> Iterator[Any]:
    """Open NVML (the package nvidia-ml-py) for some questions.

    Raises:
        ImportError: the package is not installed.
        Exception: NVML's own error: there is no driver.
    """
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _is(card: Gpu, token: str) -> bool:
    return str(card.index) == token or card.uuid.startswith(token)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
