"""ONNX Runtime on the CPU: fp32, int8 dynamic and static, 4-bit weights. The quantizers are its own.

On other devices, through its execution providers: fp32, and fp16 on NVIDIA's; also fixed shapes.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tuner.backends.artefact import describe_artefact, missing, pinned, version
from tuner.backends.base import NEVER_RUN, BuildRequest, Offer
from tuner.backends.calibration import documents, quiet, saturates
from tuner.backends.cuda import no_gpu
from tuner.backends.plugged import PROVIDERS, no_provider
from tuner.errors import BuildError
from tuner.hardware import Host

_SERVING = ("onnxruntime", "numpy")
_BUILDING = ("onnxruntime", "onnx", "onnxscript", "torch", "transformers")
_PACKAGES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-migraphx",
    "onnxruntime-qnn",
)
_NVIDIA = ("cuda", "tensorrt")
_NO_BF16 = "its CPU kernels for bf16 are too few: such a graph runs mostly by casting to fp32"
_MATRICES = [
    "MatMul",
    "Gemm",
]  # the default list also quantizes the attention mask (-3.4e38) and ruins the model


class OnnxRuntimeBackend:
    """`onnxruntime`: an ONNX graph, optimised and quantized by ONNX Runtime."""

    name = "onnxruntime"
    preload: tuple[str, ...] = (
        "onnxscript",
        "torch.onnx._internal.exporter._core",
        "onnxruntime.quantization.matmul_nbits_quantizer",
    )

    def offers(self, host: Host) -> list[Offer]:
        """Return the number formats; all of them need the packages of the extra `onnxruntime`."""
        lacking = missing(*([] if _package() else ["onnxruntime"]), "onnx", "onnxscript")
        able: dict[str, Any] = {"available": not lacking, "reason": lacking}
        return [
            Offer("cpu", 32, tolerance=1e-3, **able),
            Offer("cpu", 16, available=False, reason=_NO_BF16),
            Offer("cpu", 8, "dynamic", tolerance=0.3, **able),
            Offer("cpu", 8, "static", tolerance=0.3, **able),
            Offer("cpu", 4, "weight-only", tolerance=0.4, group_sizes=(16, 32, 64, 128), **able),
            *_elsewhere(host, lacking),
        ]

    def build(self, request: BuildRequest, out: Path) -> None:
        """Export (shared by all builds of a checkpoint), quantize, describe."""
        from tuner.backends.onnx_export import INPUTS, onnx_model

        source, target = onnx_model(request.checkpoint, request.cache, request.max_length), out / "model.onnx"
        try:
            with quiet():
                _QUANTIZERS[request.quantization.bits, request.quantization.scheme](source, target, request)
                if request.fixed_shape:
                    _fix(target, request.fixed_shape)
        except Exception as error:  # the quantizers raise whatever their protobufs raise
            raise BuildError(f"ONNX Runtime's quantizer failed: {type(error).__name__}: {error}") from error
        describe_artefact(
            out, request, self.name, "onnxruntime_session", target.name, list(INPUTS), self.requirements()
        )

    def requirements(self) -> list[str]:
        """Return what serving needs."""
        return pinned(*((_package(), "numpy") if _package() else _SERVING))

    def versions(self) -> dict[str, str]:
        """Return the versions that the artefact depends on."""
        return {name: version(name) for name in (_package() or "onnxruntime", *_BUILDING[1:])}


def _elsewhere(host: Host, needed: str) -> list[Offer]:
    """Return what its execution providers offer: fp32 on each device, and 16 bits, which is fp16, on NVIDIA's."""
    found = []
    for device in PROVIDERS:
        lacking = needed or no_provider(device) or (no_gpu(host) if device in _NVIDIA else "")
        able: dict[str, Any] = {"available": not lacking, "reason": lacking, "fixed_shape": True}
        able["note"] = NEVER_RUN
        found.append(Offer(device, 32, tolerance=0.03, **able))
        if device in _NVIDIA:
            found.append(Offer(device, 16, tolerance=0.03, **able))
    return found


def _fix(file: Path, shape: tuple[int, int]) -> None:
    """Give both inputs their one shape: Apple's and Qualcomm's compilers take no graph with an open one."""
    import onnx
    from onnxruntime.tools.onnx_model_utils import make_input_shape_fixed

    from tuner.backends.onnx_export import INPUTS

    model = onnx.load(str(file))
    for name in INPUTS:
        make_input_shape_fixed(model.graph, name, shape)
    onnx.save(model, str(file))


def _package() -> str:
    """Return the distribution that onnxruntime comes from here: there is one for each kind of device."""
    return next((name for name in _PACKAGES if version(name)), "")


def _half(source: Path, target: Path, request: BuildRequest) -> None:
    """Weights and products in fp16; inputs are integers and the logits stay fp32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(str(source)), keep_io_types=True), str(target))


def _plain(source: Path, target: Path, request: BuildRequest) -> None:
    shutil.copyfile(source, target)


def _dynamic(source: Path, target: Path, request: BuildRequest) -> None:
    """Int8 weights per output channel; activations are quantized on the fly."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=_MATRICES,
        per_channel=True,
        reduce_range=saturates(),
        weight_type=QuantType.QInt8,
    )


def _static(source: Path, target: Path, request: BuildRequest) -> None:
    """Int8 weights and activations with ranges calibrated on training documents (QDQ)."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = documents(request.calibration)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._batches, None)

    quantize_static(
        source,
        target,
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=_MATRICES,
        per_channel=True,
        reduce_range=saturates(),
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def _weight_only(source: Path, target: Path, request: BuildRequest) -> None:
    """4-bit weights in groups along the input channels, computed in int8 (`accuracy_level` 4)."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    group = request.quantization.group_size or 32
    quantizer = MatMulNBitsQuantizer(
        onnx.load(str(source)), bits=4, block_size=group, is_symmetric=True, accuracy_level=4
    )
    quantizer.process()
    quantizer.model.save_model_to_file(str(target), use_external_data_format=False)


_QUANTIZERS = {
    (32, "none"): _plain,
    (16, "none"): _half,
    (8, "dynamic"): _dynamic,
    (8, "static"): _static,
    (4, "weight-only"): _weight_only,
}
