"""The one interface behind which every engine stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from tuner.candidate import Bits, Quantization
from tuner.hardware import Host

TaskName = Literal["text-classification", "text-generation"]
#: The ways to guess ahead that all sessions of `runtime/drafting.py` know.
NEVER_RUN = "never run on such a device: written from its documentation"
DRAFTS = ("lookup", "student")


@dataclass(frozen=True)
class Offer:
    """One precision an engine could run on one device for one task: available, or not and why.

    For classifiers `tolerance` bounds the relative error of the logits against the fp32 checkpoint's,
    ||a - b|| / ||b - mean(b)|| over the checked documents: the error against how documents differ. For generation it
    bounds the share of positions of real text at which the likeliest next token is another than the fp32 checkpoint's.

    `methods` are the ways to choose low-bit weights, the engine's default first; `kv_bits` the precisions of the KV
    cache that can be chosen, None among them for the engine's own. `drafts` are the ways to guess several tokens ahead
    that its sessions know (`lookup`, `student`); `batches` says that they answer several requests together.

    `ranks` is among how many processes here a model can be divided at most (tensor, pipeline); `semi_structured` says
    that it has kernels for 2:4 sparse weights.

    `note` is what a user should know of an offer, here or not: that nobody ever ran it on such a device.
    """

    device: str
    bits: Bits
    scheme: str = "none"
    available: bool = True
    reason: str = ""
    tolerance: float = 1e-3
    fixed_shape: bool = False  # also offered as a fixed-shape build
    group_sizes: tuple[int, ...] = ()
    task: TaskName = "text-classification"
    methods: tuple[str, ...] = ()
    kv_bits: tuple[int | None, ...] = ()
    drafts: tuple[str, ...] = ()
    batches: bool = False
    ranks: int = 1
    note: str = ""
    semi_structured: bool = False

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Offer:
        """Return an offer that was stored as JSON, which has lists for tuples."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
        return cls(**fields)


@dataclass(frozen=True)
class BuildRequest:
    """What a build needs. All paths are local; `calibration` and `check` are .npz files of encoded inputs."""

    checkpoint: Path  # shaped checkpoint directory: config.json, model.safetensors, shape.json, tokenizer
    quantization: Quantization
    device: str
    fixed_shape: tuple[int, int] | None  # (batch, sequence) or None for dynamic
    max_length: int
    calibration: Path  # npz of int64 arrays (samples, sequence): input_ids, attention_mask[, token_type_ids]
    cache: Path  # directory that all builds of this checkpoint share (for example the fp32 ONNX export)
    threads: int = 1
    task: TaskName = "text-classification"
    extra: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class BackendPlugin(Protocol):
    """An engine. Implementations are stateless; heavy imports happen inside the methods."""

    name: str
    #: Modules worth importing once, before the build jobs are forked; none may start threads when imported.
    preload: tuple[str, ...]

    def offers(self, host: Host) -> list[Offer]:
        """Return every precision × device and if `host` can run it; never raises, never imports torch."""
        ...

    def build(self, request: BuildRequest, out: Path) -> None:
        """Write a complete artefact into the empty directory `out`, `artefact.json` included.

        Raises:
            BuildError: the engine could not build it; the message is the reason.
            UnsupportedError: the engine cannot do what is asked.
        """
        ...

    def requirements(self) -> list[str]:
        """Return the pinned distributions (`name==version`) that serving an artefact needs.

        Raises:
            UnsupportedError: one of them is not installed here.
        """
        ...

    def versions(self) -> dict[str, str]:
        """Return the versions of every library the build depends on: part of the cache key."""
        ...
