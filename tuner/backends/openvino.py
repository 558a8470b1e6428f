"""OpenVINO on the CPU, quantized by NNCF: fp32, 16 bits, int8 calibrated, 4-bit weights; also fixed shapes.

16 bits means fp16 weights on disk; they are computed in bf16 where the processor has the instructions, else
in fp32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuner.backends import openvino_generating as generating
from tuner.backends.artefact import describe_artefact, describe_generating, missing, pinned, version
from tuner.backends.base import NEVER_RUN, BuildRequest, Offer
from tuner.backends.calibration import documents, saturates
from tuner.backends.plugged import OPENVINO_DEVICES, no_openvino_device
from tuner.hardware import Host

_SERVING = ("openvino", "numpy")
_BUILDING = ("openvino", "nncf", "torch", "transformers")
_NO_DYNAMIC = "its int8 needs calibrated ranges: use the scheme `static`"


class OpenVinoBackend:
    """`openvino`: an OpenVINO IR, compressed by NNCF."""

    name = "openvino"
    preload: tuple[str, ...] = ("openvino", "nncf")

    def offers(self, host: Host) -> list[Offer]:
        """Return the number formats, each also with a fixed shape, which is worth 15 to 20 % on many CPUs."""
        lacking, lacking_nncf = missing("openvino"), missing("openvino", "nncf")
        able: dict[str, Any] = {"available": not lacking, "reason": lacking, "fixed_shape": True}
        nncf: dict[str, Any] = {"available": not lacking_nncf, "reason": lacking_nncf, "fixed_shape": True}
        return [
            Offer("cpu", 32, tolerance=1e-3, **able),
            Offer("cpu", 16, tolerance=0.1, **able),
            Offer("cpu", 8, "dynamic", available=False, reason=_NO_DYNAMIC),
            Offer("cpu", 8, "static", tolerance=0.3, **nncf),
            Offer("cpu", 4, "weight-only", tolerance=0.4, group_sizes=(16, 32, 64, 128), **nncf),
            *generating.offers(lacking, lacking_nncf),
            *_elsewhere(lacking),
        ]

    def build(self, request: BuildRequest, out: Path) -> None:
        """Convert, compress, fix the shape if asked, save."""
        target, pins = out / "model.xml", self.requirements()
        with generating.building():
            _BUILDERS[request.task](request, target)
        if request.task == "text-generation":
            describe_generating(out, request, self.name, "openvino_generating_session", target.name, pins)
        else:
            inputs = ["input_ids", "attention_mask"]
            describe_artefact(out, request, self.name, "openvino_session", target.name, inputs, pins)

    def requirements(self) -> list[str]:
        """Return what serving needs."""
        return pinned(*_SERVING)

    def versions(self) -> dict[str, str]:
        """Return the versions that the artefact depends on."""
        return {name: version(name) for name in _BUILDING}


def _classifier(request: BuildRequest, target: Path) -> None:
    import openvino as ov

    model = _compressed(_converted(request), request)
    if request.fixed_shape:
        model = _reshaped(model, request.fixed_shape)
    ov.save_model(model, str(target), compress_to_fp16=request.quantization.bits == 16)


def _elsewhere(lacking: str) -> list[Offer]:
    """Return what its plug-ins offer on Intel's GPUs and NPUs (an NPU takes fixed shapes only)."""
    found = []
    for device in OPENVINO_DEVICES:
        reason = lacking or no_openvino_device(device)
        for bits, tolerance in ((32, 0.03), (16, 0.1)):
            able: dict[str, Any] = {"available": not reason, "reason": reason, "fixed_shape": True}
            able["note"] = NEVER_RUN
            found.append(Offer(device, bits, tolerance=tolerance, **able))  # type: ignore[arg-type]
    return found


def _converted(request: BuildRequest) -> Any:
    """Return the model with batch and sequence free, its inputs named."""
    import openvino as ov
    import torch

    from tuner.backends.onnx_export import INPUTS, LogitsOnly, examples
    from tuner.runtime.shaped import load_shaped

    with torch.no_grad():
        model = ov.convert_model(LogitsOnly(load_shaped(request.checkpoint)).eval(), example_input=examples())
    for port, name in zip(model.inputs, INPUTS, strict=True):
        port.get_tensor().set_names({name})
    return _reshaped(model, (-1, -1))


def _reshaped(model: Any, shape: tuple[int, int]) -> Any:
    model.reshape({port.get_any_name(): list(shape) for port in model.inputs})
    return model


def _compressed(model: Any, request: BuildRequest) -> Any:
    """Quantize with NNCF, before any shape is fixed: it breaks the folded graphs of some families."""
    wanted = request.quantization
    if wanted.bits == 4:
        return _weights_compressed(model, wanted.group_size or 32)
    return _calibrated(model, request) if wanted.bits == 8 else model


def _weights_compressed(model: Any, group_size: int) -> Any:
    """4-bit symmetric weights in groups; embeddings and the last layer keep 8 bits (NNCF's default)."""
    import nncf

    # Pruned matrices have widths that no group size divides: those take the largest smaller one that does.
    fallback = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST)
    mode = nncf.CompressWeightsMode.INT4_SYM
    return nncf.compress_weights(model, mode=mode, group_size=group_size, advanced_parameters=fallback)


def _calibrated(model: Any, request: BuildRequest) -> Any:
    """Post-training int8 of weights and activations, by NNCF's recipe for transformers."""
    import nncf

    rows = list(documents(request.calibration))
    overflow = nncf.OverflowFix.ENABLE if saturates() else nncf.OverflowFix.FIRST_LAYER
    return nncf.quantize(
        model,
        nncf.Dataset(rows),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(rows),
        fast_bias_correction=True,
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=overflow),
    )


_BUILDERS = {"text-classification": _classifier, "text-generation": generating.build_model}
