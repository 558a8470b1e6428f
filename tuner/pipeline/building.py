"""Building: from a checkpoint to an engine's artefact whose outputs agree with the checkpoint's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuner.backends.registry import backends
from tuner.candidate import Candidate, baseline, baseline_device
from tuner.pipeline.cache import Entry, code_hash, digest, installed
from tuner.pipeline.prepared import Prepared
from tuner.pipeline.workshop import Workshop

#: Paths: where things lie is no part of a key; what they hold is, through the keys of their entries.
_PLACES = ("checkpoint", "calibration", "check", "cache")
_SHARED = ("tuner.backends", "tuner.runtime")  # the plug-in itself may come from another package
_EXPORTERS = (
    "tuner.backends.onnx_export",
    "tuner.backends.openvino_stateful",
    "tuner.backends.gguf_file",
    "tuner.backends.gptq",
    "tuner.backends.scale_tuning",
    "tuner.backends.sensitivity",
    "tuner.backends.shared",
)
#: Documents that settle an engine's ranges; with four times as many a build takes four times as long.
_CALIBRATION = 64


def artefact_for(shop: Workshop, ready: Prepared, checkpoint: Entry, candidate: Candidate) -> Entry:
    """Return the built and checked artefact.

    Raises:
        BuildError: the engine could not build it, or its outputs no longer agree with the checkpoint's.
        JobError: the build crashed or passed a limit.
    """
    request = _request(shop, ready, checkpoint, candidate)
    plugin = backends()[candidate.backend.engine]
    parts = {
        "checkpoint": checkpoint.key,
        "data": ready.data.key,
        "engine": candidate.backend.engine,
        "request": {k: v for k, v in request.items() if k not in _PLACES},
        "versions": plugin.versions(),
        "isa": shop.host.fingerprint,  # engines compile for the processor at hand
        "code": code_hash(type(plugin).__module__, *_SHARED),
    }
    engine, fresh = candidate.backend.engine, candidate.backend.device != "cpu"
    call, preload = "tuner.backends.build:build", plugin.preload
    return shop.job("build", parts, call, preload, fresh, engine=engine, request=request)


def study_baseline(shop: Workshop, ready: Prepared) -> Candidate:
    """Return the untouched teacher in fp32 PyTorch eager, on the device that the study is about.

    A study that names hosts is held against each one's own: where its first device is not there, on the processor.
    """
    axis, has = shop.spec.axes.backend, {"cpu", "cuda"}
    if axis.hosts:
        has = {offer.device for offer in backends()["torch"].offers(shop.host) if offer.available}
    return baseline(ready.layers, len(shop.host.cores), baseline_device(axis.devices, has))


def reference_artefact(shop: Workshop, ready: Prepared) -> Entry:
    """Return the study's baseline, built."""
    return artefact_for(shop, ready, ready.teacher, study_baseline(shop, ready))


def _request(shop: Workshop, ready: Prepared, checkpoint: Entry, candidate: Candidate) -> dict[str, Any]:
    return {
        "checkpoint": str(checkpoint.path),
        "quantization": candidate.quantization.model_dump(mode="json"),
        "device": candidate.backend.device,
        "fixed_shape": _fixed_shape(shop, candidate),
        "max_length": shop.spec.model.max_length,
        "task": shop.spec.task,
        "calibration": str(ready.data.path / "train.npz"),
        "check": str(ready.data.path / "validation.npz"),
        "samples": min(shop.spec.recover.calibration_samples, _CALIBRATION),
        "cache": str(shared_folder(shop, checkpoint)),
    }


def _fixed_shape(shop: Workshop, candidate: Candidate) -> list[int] | None:
    if not candidate.backend.fixed_shape:
        return None
    length = shop.spec.scenario.sequence_length
    return [shop.spec.scenario.batch, shop.spec.model.max_length if length == "data" else length]


def shared_folder(shop: Workshop, checkpoint: Entry) -> Path:
    """Return the directory that all builds of one checkpoint share, for example its fp32 export.

    What an engine's plug-in leaves there depends on its code and libraries, so other ones get another directory.
    """
    made_by = {
        "code": code_hash(*_EXPORTERS, "tuner.runtime.shaped"),
        "libraries": installed("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "openvino"),
        "length": shop.spec.model.max_length,
    }
    return shop.cache.root / "export" / checkpoint.key / digest(made_by)
