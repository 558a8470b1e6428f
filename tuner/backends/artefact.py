"""The description that every artefact carries: `artefact.json`."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

from tuner.backends.base import BuildRequest
from tuner.errors import UnsupportedError


def describe_artefact(
    out: Path,
    request: BuildRequest,
    engine: str,
    session: str,
    model: str,
    inputs: list[str],
    pins: list[str],
    **more: Any,
) -> None:
    """Write `artefact.json`: who serves this artefact, with which file, for which inputs, needing what, and `more`."""
    record: dict[str, Any] = {
        "engine": engine,
        "task": request.task,
        "device": request.device,
        "bits": request.quantization.bits,
        "scheme": request.quantization.scheme,
        "group_size": request.quantization.group_size,
        "session": session,
        "model": model,
        "inputs": inputs,
        "fixed_shape": list(request.fixed_shape) if request.fixed_shape else None,
        "max_length": request.max_length,
        "requirements": pins,
        **more,
    }
    (out / "artefact.json").write_text(json.dumps(record, indent=1) + "\n")


def describe_generating(
    out: Path, request: BuildRequest, engine: str, session: str, model: str, pins: list[str], **more: Any
) -> None:
    """Write the `artefact.json` of a language model: also how much it holds and how its weights were chosen."""
    config = json.loads((request.checkpoint / "config.json").read_text())
    wanted = request.quantization
    more |= {
        "context": config["max_position_embeddings"],
        "vocabulary": config["vocab_size"],
        "group_size": wanted.group_size,
        "method": wanted.method,
        "kv_bits": wanted.kv_bits,
    }
    describe_artefact(out, request, engine, session, model, ["input_ids"], pins, **more)


def pinned(*distributions: str) -> list[str]:
    """Return `name==version` of installed distributions, without a local part such as `+cpu`.

    Raises:
        UnsupportedError: one of them is not installed: there is no version that an artefact could have been made with.
    """
    if lacking := missing(*distributions):
        raise UnsupportedError(lacking)
    return [f"{name}=={version(name)}" for name in distributions]


def version(distribution: str) -> str:
    """Return the installed version of a distribution, without its local part; empty if not installed."""
    try:
        return importlib.metadata.version(distribution).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""


def missing(*distributions: str) -> str:
    """Return the reason why an engine cannot run here for want of a package, or nothing."""
    absent = [name for name in distributions if not version(name)]
    return f"needs {', '.join(absent)}: pip install {' '.join(absent)}" if absent else ""
