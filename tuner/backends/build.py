"""The build job: build with an engine's plug-in, then prove that the artefact says what its source says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tuner.backends.agreement import check_agreement
from tuner.backends.base import BuildRequest, Offer
from tuner.backends.generating_agreement import check_generating_agreement
from tuner.backends.registry import backends
from tuner.backends.shared import noted
from tuner.candidate import Quantization
from tuner.errors import BuildError
from tuner.hardware import this_host
from tuner.runtime.loader import load_session

_CHECKED = 48  # documents compared with the source after each build
_CHECKED_WINDOWS = 12  # the same of text, where each position is compared


def build(engine: str, request: dict[str, Any], out: str) -> dict[str, Any]:
    """Build into `out` and check it.

    Returns {"agreement": {...}, "shared": {name: [seconds, made by this build]}}: what a checkpoint's builds share.

    Raises:
        BuildError: the engine failed, or the outputs do not agree within the offer's tolerance.
    """
    samples, check = request.pop("samples"), Path(request.pop("check"))
    calibration = _head(Path(request["calibration"]), samples, Path(out) / "calibration.npz")
    asked = _request(request, calibration)
    with noted() as shared:
        backends()[engine].build(asked, Path(out))
    calibration.unlink()
    return {"agreement": _agreement(engine, asked, check, Path(out)), "shared": shared}


def _agreement(engine: str, asked: BuildRequest, check: Path, out: Path) -> dict[str, float]:
    session, tolerance = _served(out), _offer(engine, asked).tolerance
    if asked.task == "text-generation":
        return check_generating_agreement(session, asked.checkpoint, check, _CHECKED_WINDOWS, tolerance)
    checked = _head(check, _CHECKED, out / "check.npz")
    agreement = check_agreement(session, asked.checkpoint, checked, tolerance)
    checked.unlink()
    return agreement


def _served(out: Path) -> Any:
    """Return the artefact's session; an engine may well write what it cannot read."""
    try:
        return load_session(out, threads=len(this_host().cores))
    except Exception as error:
        reason = " ".join(str(error).split())[-200:]
        raise BuildError(f"the engine cannot load what it built: {type(error).__name__}: {reason}") from error


def _request(raw: dict[str, Any], calibration: Path) -> BuildRequest:
    shape = raw["fixed_shape"]
    cache = Path(raw["cache"])
    cache.mkdir(parents=True, exist_ok=True)
    return BuildRequest(
        checkpoint=Path(raw["checkpoint"]),
        quantization=Quantization(**raw["quantization"]),
        device=raw["device"],
        fixed_shape=(shape[0], shape[1]) if shape else None,
        max_length=raw["max_length"],
        calibration=calibration,
        cache=cache,
        task=raw["task"],
    )


def _offer(engine: str, request: BuildRequest) -> Offer:
    wanted = request.quantization
    for offer in backends()[engine].offers(this_host()):
        found = (offer.task, offer.device, offer.bits, offer.scheme)
        if found == (request.task, request.device, wanted.bits, wanted.scheme):
            return offer
    raise AssertionError(f"{engine} does not offer {wanted}: the space must not propose it")


def _head(source: Path, rows: int, target: Path) -> Path:
    """Write the first rows of every input (not the labels) of an encoded split."""
    with np.load(source) as arrays:
        np.savez(target, **{k: arrays[k][:rows] for k in arrays.files if k != "labels"})
    return target
