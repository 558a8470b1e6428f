"""XLA: the compiler of TPUs, through JAX's PJRT plug-ins: on the processor, and where there is one on a TPU or GPU.

An artefact is StableHLO and weights: it needs neither PyTorch nor the model's own code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuner.backends.artefact import describe_artefact, missing, pinned, version
from tuner.backends.base import NEVER_RUN, BuildRequest, Offer
from tuner.backends.plugged import JAX_PLATFORMS, no_jax_platform
from tuner.errors import BuildError
from tuner.hardware import Host, usable_cores

_SERVING = ("jax", "flatbuffers", "numpy")
_BUILDING = ("jax", "jaxlib", "torchax", "torch", "transformers")
_RUN = ("cpu", "cuda")  # the platforms that it was run on; on CUDA once, through the conformance suite (H200)
_NO_CHAT = "XLA compiles for fixed shapes: generating needs a KV cache of one, which is not built"
_NO_INT = "XLA has no quantizer of its own: its int8 is of weights only (scheme `weight-only`)"
_NO_FOUR = "int8 weights are the narrowest that are built for it"


class XlaBackend:
    """`xla`: programs of StableHLO, compiled by XLA when they are loaded."""

    name = "xla"
    preload: tuple[str, ...] = ("jax.export",)

    def offers(self, host: Host) -> list[Offer]:
        """Return fp32, bf16 and int8 weights on each platform that JAX has; no language models."""
        lacking = missing("jax", "torchax", "flatbuffers")
        found = [offer for device in ("cpu", *JAX_PLATFORMS) for offer in _on(device, host, lacking)]
        return [*found, Offer("cpu", 32, available=False, reason=_NO_CHAT, task="text-generation")]

    def build(self, request: BuildRequest, out: Path) -> None:
        """Trace the model, lower it for each length, and store programs and weights."""
        from tuner.runtime.buckets import lengths

        batch, longest = request.fixed_shape or (None, request.max_length)
        wanted = [longest] if request.fixed_shape else lengths(longest)
        programs = {length: f"{length}.stablehlo" for length in wanted}
        try:
            _write(request, out, programs, batch)
        except Exception as error:  # what a model's code cannot be traced with has a dozen classes
            raise BuildError(f"JAX could not trace it: {type(error).__name__}: {str(error)[:300]}") from error
        inputs, pins = ["input_ids", "attention_mask"], [*self.requirements(), *_plug_ins(request.device)]
        more: dict[str, Any] = {"programs": programs}
        describe_artefact(out, request, self.name, "xla_session", "weights.npz", inputs, pins, **more)

    def requirements(self) -> list[str]:
        """Return what serving needs on a processor."""
        return pinned(*_SERVING)

    def versions(self) -> dict[str, str]:
        """Return the versions that the artefact depends on."""
        return {name: version(name) for name in _BUILDING}


def _on(device: str, host: Host, lacking: str) -> list[Offer]:
    reason = lacking or no_jax_platform(device, host)
    able: dict[str, Any] = {"available": not reason, "reason": reason, "fixed_shape": True}
    note = "" if device in _RUN else NEVER_RUN
    return [
        Offer(device, 32, tolerance=1e-3, note=note, **able),
        Offer(device, 16, tolerance=0.1, note=note, **able),
        Offer(device, 8, "weight-only", tolerance=0.2, note=note, **able),
        Offer(device, 8, "dynamic", available=False, reason=reason or _NO_INT, note=note),
        Offer(device, 4, "weight-only", available=False, reason=reason or _NO_FOUR, note=note),
    ]


def _plug_ins(device: str) -> list[str]:
    """Return the pins of JAX's plug-in for a device."""
    return pinned(*(name for name in JAX_PLATFORMS.get(device, ()) if version(name)))


def _write(request: BuildRequest, out: Path, programs: dict[int, str], batch: int | None) -> None:
    import jax

    from tuner.backends.xla_export import Programs
    from tuner.runtime.xla_session import device_of

    device_of(request.device, len(usable_cores()))
    with jax.default_device(jax.devices("cpu")[0]):  # tracing computes nothing that a card would be good for
        made = Programs(request.checkpoint, request.quantization.bits)
        for length, name in programs.items():
            (out / name).write_bytes(made.lowered(request.device, length, batch))
        made.save(out / "weights.npz")
