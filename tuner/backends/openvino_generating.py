"""OpenVINO's number formats of a language model: the weights of the stateful IR, compressed by NNCF.

Each token that is made reads every weight once, so its bytes are what its time goes with. `rtn` rounds to the nearest
(symmetric, `rtn_asym` with a zero point); `awq` (Lin et al. 2023, arXiv 2306.00978), `scale_estimation` (NNCF's own
least squares on the scales) and `gptq` (Frantar et al. 2022, arXiv 2210.17323) look at real text. Names with
`_all` also give the embedding and the last layer 4 bits, which else keep 8.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tuner.backends.base import DRAFTS, BuildRequest, Offer
from tuner.backends.calibration import documents, quiet
from tuner.errors import BuildError

EIGHT = ("rtn", "rtn_asym")
_LOOKED_AT = 24  # windows of text: a build takes as much longer as there are more
FOUR = ("rtn", "rtn_asym", "awq", "scale_estimation", "gptq", "rtn_all", "rtn_asym_all", "awq_all")
GROUPS = (32, 64, 128)
#: The engine's own is 8 bits, whatever the weights are; said outright it stands beside the others.
KV = (None, 16, 8, 4)


def offers(lacking: str, lacking_nncf: str) -> list[Offer]:
    """Return the offers of text generation, given why OpenVINO and NNCF are not there, or nothing."""
    task: dict[str, Any] = {"task": "text-generation", "kv_bits": KV, "drafts": DRAFTS}
    able: dict[str, Any] = {"available": not lacking, "reason": lacking, **task}
    nncf: dict[str, Any] = {"available": not lacking_nncf, "reason": lacking_nncf, **task}
    return [
        Offer("cpu", 32, tolerance=0.05, **able),
        Offer("cpu", 16, tolerance=0.1, **able),
        Offer("cpu", 8, "weight-only", tolerance=0.15, methods=EIGHT, **nncf),
        Offer("cpu", 4, "weight-only", tolerance=0.5, methods=FOUR, group_sizes=GROUPS, **nncf),
    ]


@contextlib.contextmanager
def building() -> Iterator[None]:
    """Silence OpenVINO and NNCF while they build; whatever they raise becomes a BuildError."""
    logging.getLogger("nncf").setLevel(logging.ERROR)
    try:
        with quiet():
            yield
    except Exception as error:
        raise BuildError(
            f"OpenVINO could not build it: {type(error).__name__}: {str(error)[:300]}"
        ) from error


def build_model(request: BuildRequest, target: Path) -> None:
    """Export (shared by all builds of a checkpoint), compress, save as `target`."""
    import openvino as ov

    from tuner.backends.openvino_stateful import stateful_model

    model = ov.Core().read_model(stateful_model(request.checkpoint, request.cache))
    wanted = request.quantization
    if wanted.scheme == "weight-only":
        model = _compressed(model, request, wanted.method or "rtn")
    ov.save_model(model, str(target), compress_to_fp16=wanted.bits == 16)


def _compressed(model: Any, request: BuildRequest, method: str) -> Any:
    import nncf

    wanted = request.quantization
    modes, plain = nncf.CompressWeightsMode, method.removesuffix("_all")
    if wanted.bits == 8:
        mode = modes.INT8_ASYM if plain == "rtn_asym" else modes.INT8_SYM
        return nncf.compress_weights(model, mode=mode)
    # Pruned matrices have widths that no group size divides: those take the largest smaller one that does.
    fallback = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST)
    return nncf.compress_weights(
        model,
        mode=modes.INT4_ASYM if plain == "rtn_asym" else modes.INT4_SYM,
        group_size=wanted.group_size or GROUPS[0],
        all_layers=method.endswith("_all"),
        advanced_parameters=fallback,
        **_looking(plain, request),
    )


def _looking(method: str, request: BuildRequest) -> dict[str, Any]:
    """Return the arguments of a method that looks at real text."""
    import nncf

    if method in ("rtn", "rtn_asym"):
        return {}
    rows = list(islice(_windows(request.calibration), _LOOKED_AT))
    return {method: True, "dataset": nncf.Dataset(rows), "subset_size": len(rows)}


def _windows(calibration: Path) -> Iterator[dict[str, np.ndarray]]:
    """Yield the model's inputs for one window of text at a time, each from an empty cache."""
    for row in documents(calibration):
        places = np.arange(row["input_ids"].shape[1])
        yield {**row, "position_ids": places[None], "beam_idx": np.zeros(1, np.int32)}
