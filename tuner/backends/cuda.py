"""What PyTorch offers on an NVIDIA GPU, eager and compiled, and why a format is missing here."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace

from tuner.backends.artefact import missing, pinned, version
from tuner.backends.base import DRAFTS, NEVER_RUN, BuildRequest, Offer
from tuner.hardware import Host

DEVICE = "cuda"
_AMPERE, _ADA = "8.0", "8.9"  # compute capabilities: bf16, tf32 and int8 in tensor cores; fp8 there
_GROUPS = (32, 64, 128)
_EAGER_INT8 = (
    "torchao's eager int8 product reads its operands on the host at every call: only torch-compile has it"
)


def no_gpu(host: Host) -> str:
    """Return that there is no NVIDIA GPU, or nothing."""
    return "" if host.gpus else "no NVIDIA GPU here: neither NVML nor nvidia-smi lists one"


def no_cuda(host: Host) -> str:
    """Return why PyTorch cannot compute on a GPU here, or nothing."""
    if not host.gpus:
        return no_gpu(host)
    try:
        installed = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return "needs torch: pip install torch"
    built_without = installed.endswith("+cpu")
    return f"this PyTorch ({installed}) is built without CUDA: install one with it" if built_without else ""


def offers_on_cuda(host: Host, lacking: str = "", compiled: bool = False) -> list[Offer]:
    """Return the formats on the GPU; a fixed shape is one CUDA graph. `lacking` is why none of them runs here."""
    none = no_cuda(host) or lacking
    tensor = none or _older(host, _AMPERE)
    torchao = tensor or missing("torchao")
    fp8 = torchao or _older(host, _ADA)
    int8 = torchao if compiled else none or _EAGER_INT8
    return [
        _offer(32, "none", none, 1e-3),
        _offer(32, "tf32", tensor, 0.03),
        _sparse(_offer(16, "none", tensor, 0.1), host, compiled),
        _sparse(_offer(16, "fp16", none, 0.03), host, compiled),
        _offer(8, "dynamic", int8, 0.3),
        _offer(8, "weight-only", torchao, 0.2),
        _offer(8, "fp8", fp8, 0.3),
        _offer(4, "weight-only", torchao, 0.4, _GROUPS),
    ]


def _sparse(offer: Offer, host: Host, compiled: bool) -> Offer:
    """Return the offer with 2:4 weights where the cards have sparse tensor cores; they cannot be compiled ahead."""
    return replace(offer, semi_structured=not compiled and bool(host.gpus) and not _older(host, _AMPERE))


def chat_on_cuda(host: Host, lacking: str = "", drafts: tuple[str, ...] = DRAFTS) -> list[Offer]:
    """Return the formats of language models on the GPU. `lacking` is why none of them runs here."""
    none = no_cuda(host) or lacking
    tensor = none or _older(host, _AMPERE)
    torchao = tensor or missing("torchao")
    found = [
        _offer(32, "none", none, 0.01),
        _offer(16, "none", tensor, 0.1),
        _offer(16, "fp16", none, 0.05),
        _offer(8, "weight-only", torchao, 0.15),
        _offer(4, "weight-only", torchao, 0.4, _GROUPS),
    ]
    return [
        replace(o, task="text-generation", fixed_shape=False, drafts=drafts, note=NEVER_RUN) for o in found
    ]


def _older(host: Host, capability: str) -> str:
    if all(gpu.has(capability) for gpu in host.gpus):
        return ""
    oldest = min(host.gpus, key=lambda gpu: float(gpu.capability))
    return f"{oldest.name} has compute capability {oldest.capability}, and this needs {capability}"


def _offer(bits: int, scheme: str, reason: str, tolerance: float, groups: tuple[int, ...] = ()) -> Offer:
    return Offer(
        DEVICE,
        bits,  # type: ignore[arg-type]
        scheme,
        available=not reason,
        reason=reason,
        tolerance=tolerance,
        fixed_shape=True,
        group_sizes=groups,
    )


def low_bit_pins(request: BuildRequest) -> list[str]:
    """Return what serving low-bit weights on a GPU needs beside PyTorch."""
    return pinned("torchao") if request.device == DEVICE and request.quantization.bits < 16 else []


def torchao_version() -> dict[str, str]:
    """Return torchao's version where it is installed: artefacts depend on it."""
    return {"torchao": found} if (found := version("torchao")) else {}
