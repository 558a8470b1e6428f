"""PyTorch eager: the shaped checkpoint as it is. In fp32 it is the baseline of every speedup."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tuner.backends.artefact import describe_artefact, describe_generating, pinned, version
from tuner.backends.base import DRAFTS, BuildRequest, Offer
from tuner.backends.cuda import DEVICE, chat_on_cuda, low_bit_pins, offers_on_cuda, torchao_version
from tuner.hardware import Host

SERVING = ("torch", "transformers", "safetensors", "numpy")
_BF16 = ("avx512_bf16", "amx_bf16", "bf16")
NO_BF16 = "this processor has no bf16 instructions: emulated, it is several times slower than fp32"
_NO_INT = "eager mode's own quantization is deprecated; onnxruntime and openvino have faster kernels for it"


class TorchBackend:
    """`torch`: eager PyTorch through transformers."""

    name = "torch"
    preload: tuple[str, ...] = ()

    def offers(self, host: Host) -> list[Offer]:
        """Return fp32, bf16 where the processor has it, and why no integers; on a GPU what it and torchao have.

        A model is divided in floating point only: torchao's low-bit weights are packed for the whole matrix.
        """
        most = {"cpu": len(host.cores), DEVICE: len(host.gpus)}
        found = [*self._on_processor(host), *offers_on_cuda(host), *chat_on_cuda(host)]
        return [replace(o, ranks=max(most[o.device], 1)) if o.bits >= 16 else o for o in found]

    def _on_processor(self, host: Host) -> list[Offer]:
        bf16: dict[str, Any] = {"available": has_bf16(host), "reason": "" if has_bf16(host) else NO_BF16}
        none: dict[str, Any] = {"available": False, "reason": _NO_INT}
        return [
            Offer("cpu", 32, tolerance=1e-4),
            Offer("cpu", 16, tolerance=0.1, **bf16),
            Offer("cpu", 8, "dynamic", **none),
            Offer("cpu", 4, "weight-only", **none),
            Offer("cpu", 32, tolerance=0.01, task="text-generation", drafts=DRAFTS),
            Offer("cpu", 16, tolerance=0.1, task="text-generation", drafts=DRAFTS, **bf16),
            Offer("cpu", 8, "weight-only", task="text-generation", **none),
            Offer("cpu", 4, "weight-only", task="text-generation", **none),
        ]

    def build(self, request: BuildRequest, out: Path) -> None:
        """Copy the checkpoint; weights are stored in the format that they are loaded in, low-bit ones in bf16."""
        from tuner.backends.torch_weights import store_model

        store_model(request.checkpoint, request.quantization, out / "model")
        pins = [*self.requirements(), *low_bit_pins(request)]
        if request.task == "text-generation":
            describe_generating(out, request, self.name, "torch_generating_session", "model", pins)
        else:
            inputs = ["input_ids", "attention_mask"]
            describe_artefact(out, request, self.name, "torch_session", "model", inputs, pins)

    def requirements(self) -> list[str]:
        """Return what serving needs."""
        return pinned(*SERVING)

    def versions(self) -> dict[str, str]:
        """Return the versions that the artefact depends on."""
        return {name: version(name) for name in SERVING} | torchao_version()


def has_bf16(host: Host) -> bool:
    """Say whether bf16 is computed by instructions of its own."""
    return any(host.has(flag) for flag in _BF16)
