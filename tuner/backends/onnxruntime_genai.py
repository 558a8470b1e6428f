"""ONNX Runtime GenAI on the CPU: its own graph of a language model, in fp32, 8 and 4 bits. Generation only.

`rtn` rounds to the nearest, symmetric (`rtn_asym` with a zero point); `k_quant` searches each block's scale and zero
point for the least squares, as llama.cpp does; names with `_last` give the last layer 8 bits, `_mixed`
also the layers that llama.cpp finds sensitive.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tuner.backends.artefact import describe_generating, missing, pinned, version
from tuner.backends.base import BuildRequest, Offer
from tuner.backends.calibration import quiet
from tuner.errors import BuildError, UnsupportedError
from tuner.hardware import Host

_SERVING = ("onnxruntime-genai", "onnxruntime", "numpy")
_BUILDING = ("onnxruntime-genai", "onnxruntime", "onnx", "onnx-ir", "torch", "transformers")
_EIGHT = ("rtn", "rtn_asym", "k_quant")
_FOUR = ("rtn", "rtn_asym", "rtn_last", "k_quant", "k_quant_last", "k_quant_mixed")
_GROUPS = (32, 64, 128)
_NO_BF16 = "its CPU kernels for bf16 are too few: the builder offers it for GPUs alone"
#: Activations in int8, too: with fp32 ones 8-bit weights are many times slower.
_INT8_PRODUCTS = "4"
_PRECISIONS = {32: "fp32", 8: "int8", 4: "int4"}
_MIXED = {"last": "last_matmul:int8", "mixed": "last_matmul:int8,mixed_layers:int8"}


class OnnxRuntimeGenaiBackend:
    """`onnxruntime-genai`: ONNX Runtime's library for language models and its model builder."""

    name = "onnxruntime-genai"
    preload: tuple[str, ...] = ()

    def offers(self, host: Host) -> list[Offer]:
        """Return the number formats; all need the extras `onnxruntime` and `onnxruntime-genai`."""
        lacking = missing("onnxruntime-genai", "onnxruntime", "onnx")
        task: dict[str, Any] = {"task": "text-generation"}
        able: dict[str, Any] = {"available": not lacking, "reason": lacking, **task}
        low: dict[str, Any] = {"scheme": "weight-only", "group_sizes": _GROUPS, **able}
        return [
            Offer("cpu", 32, tolerance=0.05, **able),
            Offer("cpu", 16, available=False, reason=_NO_BF16, **task),
            Offer("cpu", 8, tolerance=0.15, methods=_EIGHT, **low),
            Offer("cpu", 4, tolerance=0.5, methods=_FOUR, **low),
        ]

    def build(self, request: BuildRequest, out: Path) -> None:
        """Build graph, weights and settings into `out/model`.

        Raises:
            BuildError: its builder does not know the family, or failed.
            UnsupportedError: another task is asked for.
        """
        if request.task != "text-generation":
            raise UnsupportedError(f"{self.name} runs language models only, not {request.task}")
        try:
            with quiet():
                _make(request, out / "model")
        except Exception as error:  # the builder raises whatever it meets
            raise BuildError(
                f"ONNX Runtime GenAI's builder failed: {type(error).__name__}: {str(error)[:300]}"
            ) from error
        pins = self.requirements()
        describe_generating(out, request, self.name, "onnxruntime_genai_session", "model", pins)

    def requirements(self) -> list[str]:
        """Return what serving needs."""
        return pinned(*_SERVING)

    def versions(self) -> dict[str, str]:
        """Return the versions that the artefact depends on."""
        return {name: version(name) for name in _BUILDING}


def _make(request: BuildRequest, out: Path) -> None:
    from onnxruntime_genai.models import builder

    for talker in ("onnx_ir", "neural_compressor"):
        logging.getLogger(talker).setLevel(logging.ERROR)
    scratch = out.parent / "scratch"
    settings = _options(request)
    given = (
        "",
        str(request.checkpoint),
        str(out),
        _PRECISIONS[request.quantization.bits],
        "cpu",
        str(scratch),
    )
    builder.create_model(*given, **builder.parse_extra_options(*given, settings))
    if scratch.exists():
        scratch.rmdir()


def _options(request: BuildRequest) -> list[str]:
    """Return the builder's options as its command line takes them."""
    wanted = request.quantization
    options = {"hf_token": "false"}
    if wanted.bits != 32:
        method, _, mixed = (wanted.method or "rtn").partition("_")
        if method == "k":
            method, _, mixed = "k_quant", "", mixed.removeprefix("quant").removeprefix("_")
        options |= {
            "algo_config": method,
            "is_symmetric": str(mixed != "asym" and method == "rtn").lower(),
            "block_size": str(wanted.group_size or _GROUPS[0]),
            "accuracy_level": _INT8_PRODUCTS,
        }
        if mixed in _MIXED:
            options["matmul_mixed_precision"] = _MIXED[mixed]
    return [f"{name}={value}" for name, value in options.items()]
