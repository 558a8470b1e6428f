"""OpenVINO on the CPU, quantized by NNCF: fp32, bf16, int8 calibrated, 4-bit weights; fixed shapes on request."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tuner.backends.artefact import describe_artefact, missing, pinned, version
from tuner.backends.base import BuildRequest, Offer
from tuner.backends.torch_eager import NO_BF16, has_bf16
from tuner.errors import BuildError
from tuner.hardware import Host

_SERVING = ("openvino", "numpy")
_BUILDING = ("openvino", "nncf", "torch", "transformers")
_NO_DYNAMIC = "its int8 needs calibrated ranges: use the scheme `static`"


class OpenVinoBackend:
    """`openvino`: an OpenVINO IR, compressed by NNCF."""

    name = "openvino"
    preload: tuple[str, ...] = ("openvino", "nncf")

    def offers(self, host: Host) -> list[Offer]:
        """Return the number formats; each also as a fixed-shape build, which is worth 15 to 20 % on many CPUs."""
        lacking, lacking_nncf = missing("openvino"), missing("openvino", "nncf")
        able: dict[str, Any] = {"available": not lacking, "reason": lacking, "fixed_shape": True}
        nncf: dict[str, Any] = {"available": not lacking_nncf, "reason": lacking_nncf, "fixed_shape": True}
        bf16 = lacking or ("" if has_bf16(host) else NO_BF16)
        return [
            Offer("cpu", 32, tolerance=1e-3, **able),
            Offer("cpu", 16, available=not bf16, reason=bf16, tolerance=0.1, fixed_shape=True),
            Offer("cpu", 8, "dynamic", available=False, reason=_NO_DYNAMIC),
            Offer("cpu", 8, "static", tolerance=0.3, **nncf),
            Offer("cpu", 4, "weight-only", tolerance=0.4, group_sizes=(16, 32, 64, 128), **nncf),
        ]

    def build(self, request: BuildRequest, out: Path) -> None:
        """Convert, fix the shape if asked, compress, save."""
        from tuner.backends.onnx_export import INPUTS

        logging.getLogger("nncf").setLevel(logging.ERROR)
        try:
            _save(_compressed(_converted(request), request), out / "model.xml", request)
        except Exception as error:
            raise BuildError(
                f"OpenVINO could not build it: {type(error).__name__}: {str(error)[:300]}"
            ) from error
        describe_artefact(
            out, request, self.name, "openvino_session", "model.xml", list(INPUTS), self.requirements()
        )

    def requirements(self) -> list[str]:
        """Return what serving needs."""
        return pinned(*_SERVING)

    def versions(self) -> dict[str, str]:
        """Return the versions that the artefact depends on."""
        return {name: version(name) for name in _BUILDING}


def _converted(request: BuildRequest) -> Any:
    import openvino as ov
    import torch

    from tuner.backends.onnx_export import INPUTS, LogitsOnly, examples
    from tuner.runtime.shaped import load_shaped

    with torch.no_grad():
        model = ov.convert_model(LogitsOnly(load_shaped(request.checkpoint)), example_input=examples())
    batch, length = request.fixed_shape or (-1, -1)
    for port, name in zip(model.inputs, INPUTS, strict=True):
        port.get_tensor().set_names({name})
    model.reshape({name: [batch, length] for name in INPUTS})
    return model


def _compressed(model: Any, request: BuildRequest) -> Any:
    """Quantize with NNCF: post-training int8 for transformers, or weights alone in 4 bits."""
    wanted = request.quantization
    if wanted.bits >= 16:
        return model
    import nncf

    if wanted.bits == 4:
        mode = nncf.CompressWeightsMode.INT4_SYM
        return nncf.compress_weights(model, mode=mode, group_size=wanted.group_size or 32, all_layers=False)
    rows = _rows(request)
    return nncf.quantize(
        model,
        nncf.Dataset(rows),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(rows),
        fast_bias_correction=True,
    )


def _rows(request: BuildRequest) -> list[dict[str, Any]]:
    """Return calibration documents one by one: cut to their length, or padded to the fixed shape."""
    import numpy as np

    from tuner.runtime.padding import padded

    with np.load(request.calibration) as arrays:
        inputs = {name: arrays[name] for name in arrays.files}
    rows = []
    for row in range(len(inputs["input_ids"])):
        length = max(int(inputs["attention_mask"][row].sum()), 2)
        one = {name: array[row : row + 1, :length] for name, array in inputs.items()}
        rows.append(
            {k: padded(v[:, : request.fixed_shape[1]], request.fixed_shape) for k, v in one.items()}
            if request.fixed_shape
            else one
        )
    return rows


def _save(model: Any, target: Path, request: BuildRequest) -> None:
    import openvino as ov

    ov.save_model(model, str(target), compress_to_fp16=request.quantization.bits == 16)
