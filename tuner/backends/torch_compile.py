"""torch.compile ahead of time: an AOTInductor package, loaded without a compiler; a classifier's without transformers.

A language model's is the step that makes one token (`torch_step`); prompts are read by the eager model beside it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuner.backends.artefact import describe_artefact, describe_generating, pinned, version
from tuner.backends.base import BuildRequest, Offer, TaskName
from tuner.backends.cuda import chat_on_cuda, low_bit_pins, offers_on_cuda, torchao_version
from tuner.backends.torch_eager import NO_BF16, SERVING, has_bf16
from tuner.errors import BuildError
from tuner.hardware import Host

_SERVING = ("torch", "numpy")
_CHAT: TaskName = "text-generation"
_STEP = "step.pt2"
_CRASHED = (
    "on the one card tried (H200, torch 2.11) its package killed the process that loaded it: a trial says so"
)
_NO_COMPILER = "needs a C++ compiler and Python's headers (Debian: apt-get install g++ python3-dev)"
_NO_INT = "inductor takes integers only through torchao, whose kernels on a processor are not offered here"


class TorchCompileBackend:
    """`torch-compile`: PyTorch compiled by inductor to a shared library (Ansel et al. 2024, PyTorch 2)."""

    name = "torch-compile"
    preload: tuple[str, ...] = ("torch._inductor.compile_fx",)

    def offers(self, host: Host) -> list[Offer]:
        """Return fp32 and bf16, dynamic or with a fixed shape, where there is a compiler; on a GPU low bits as well."""
        lacking = "" if host.compiler else _NO_COMPILER
        bf16 = lacking or ("" if has_bf16(host) else NO_BF16)
        return [
            Offer("cpu", 32, available=not lacking, reason=lacking, tolerance=1e-3, fixed_shape=True),
            Offer("cpu", 16, available=not bf16, reason=bf16, tolerance=0.1, fixed_shape=True),
            Offer("cpu", 8, "dynamic", available=False, reason=_NO_INT),
            Offer("cpu", 4, "weight-only", available=False, reason=_NO_INT),
            Offer("cpu", 32, available=not lacking, reason=lacking, tolerance=0.01, task=_CHAT),
            Offer("cpu", 16, available=not bf16, reason=bf16, tolerance=0.1, task=_CHAT),
            Offer("cpu", 8, "weight-only", available=False, reason=_NO_INT, task=_CHAT),
            Offer("cpu", 4, "weight-only", available=False, reason=_NO_INT, task=_CHAT),
            *(replace(offer, note=_CRASHED) for offer in offers_on_cuda(host, lacking, compiled=True)),
            *chat_on_cuda(host, lacking, drafts=()),
        ]

    def build(self, request: BuildRequest, out: Path) -> None:
        """Trace the model, or its step; compile and package it.

        Raises:
            BuildError: it cannot be traced or compiled.
        """
        try:
            (_package_step if request.task == _CHAT else _package)(request, out)
        except Exception as error:
            reason = str(error).strip().splitlines()
            detail = reason[0][:300] if reason else ""
            raise BuildError(f"torch.compile failed: {type(error).__name__}: {detail}") from error
        if request.task == _CHAT:
            self._describe_chat(request, out)
            return
        inputs = ["input_ids", "attention_mask"]
        describe_artefact(
            out, request, self.name, "torch_compile_session", "model.pt2", inputs, self.requirements()
        )

    def _describe_chat(self, request: BuildRequest, out: Path) -> None:
        pins = [*pinned(*SERVING), *low_bit_pins(request)]
        more = {"step": _STEP, "shared_weights": _shares(request)}
        session = "torch_compile_generating_session"
        describe_generating(out, request, self.name, session, "model", pins, **more)

    def requirements(self) -> list[str]:
        """Return what serving needs."""
        return pinned(*_SERVING)

    def versions(self) -> dict[str, str]:
        """Return the versions that the artefact depends on."""
        return {name: version(name) for name in ("torch", "transformers")} | torchao_version()


def _package(request: BuildRequest, out: Path) -> None:
    import torch
    from torch._inductor import aoti_compile_and_package

    from tuner.backends.onnx_export import LogitsOnly, dynamic_shapes, examples
    from tuner.runtime.shaped import load_shaped
    from tuner.runtime.torch_formats import in_format

    device = torch.device(request.device)
    model = LogitsOnly(in_format(load_shaped(request.checkpoint), vars(request.quantization), device)).eval()
    shapes = None if request.fixed_shape else dynamic_shapes(request.max_length)
    with torch.no_grad(), _any_number_of_threads():
        given = tuple(tensor.to(device) for tensor in examples(*(request.fixed_shape or (2, 16))))
        program = torch.export.export(model, given, dynamic_shapes=shapes)
        aoti_compile_and_package(program, package_path=str(out / "model.pt2"))


def _package_step(request: BuildRequest, out: Path) -> None:
    import torch
    from torch._inductor import aoti_compile_and_package

    from tuner.backends.torch_step import exported_step
    from tuner.backends.torch_weights import store_model
    from tuner.runtime.shaped import load_shaped
    from tuner.runtime.torch_formats import dtype_of, in_format

    wanted, device = request.quantization, torch.device(request.device)
    store_model(request.checkpoint, wanted, out / "model")
    model = in_format(load_shaped(out / "model"), vars(wanted), device)
    with (
        torch.no_grad(),
        _any_number_of_threads(**{"aot_inductor.package_constants_in_so": not _shares(request)}),
    ):
        program = exported_step(model, dtype_of(wanted.bits, wanted.scheme), device)
        aoti_compile_and_package(program, package_path=str(out / _STEP))


def _shares(request: BuildRequest) -> bool:
    """Say whether the step takes the eager model's weights; torchao's low-bit ones it has to hold itself."""
    return request.quantization.bits >= 16


@contextlib.contextmanager
def _any_number_of_threads(**more: Any) -> Iterator[Any]:
    """Compile loops that ask for the number of threads when they run, not for that of the build; `more` settings."""
    import torch._inductor.config as inductor

    with inductor.patch({"cpp.dynamic_threads": True, **more}):
        yield
