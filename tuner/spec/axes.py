"""Axes: what the search may choose, axis by axis."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuner.candidate import Bits
from tuner.spec.price import HostName
from tuner.spec.section import Choices, Count, Section, Share

Scheme8 = Literal["dynamic", "static", "weight-only", "fp8"]
Draft = Literal["none", "lookup", "student"]
KvBits = Literal[16, 8, 4]
Method = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Slots = Annotated[int, Field(ge=1, le=64)]


class DistillationAxis(Section):
    """How deep the student may be."""

    student_layers: Choices[Count] | None = Field(default=None, description="layers kept; null: 1 to all")


class PruningAxis(Section):
    """Shares of each layer's attention heads and FFN neurons that may be removed."""

    heads: Choices[Share] = Field(default=[0.0, 0.25, 0.5], description="share of attention heads removed")
    ffn: Choices[Share] = Field(default=[0.0, 0.25, 0.5, 0.75], description="share of FFN neurons removed")
    semi_structured: Choices[bool] = Field(
        default=[False],
        description="true: two of each four weights are zero (2:4); on GPUs whose engine has kernels for it",
    )


class QuantizationAxis(Section):
    """Number formats; an engine is only asked for those that it supports on this host."""

    bits: Choices[Bits] = Field(
        default=[32, 16, 8, 4], description="fp32, bf16, int8, int4 weights; generation: also 3 and 2"
    )
    schemes: Choices[Scheme8] = Field(
        default=["dynamic", "static"],
        description="how int8 finds its ranges; on a GPU also weight-only and fp8",
    )
    group_size: Choices[Literal[16, 32, 64, 128]] = Field(
        default=[32, 128], description="input channels that share an int4 scale"
    )
    methods: Choices[Method] | None = Field(
        default=None,
        description="generation: how low-bit weights are chosen; null: as each engine does unasked",
    )
    kv_bits: Choices[KvBits] | None = Field(
        default=None, description="generation: precision of the KV cache; null: as each engine does unasked"
    )


class ParallelAxis(Section):
    """Threads of a process, independent sessions, what each answers together, and processes that share one model."""

    threads: Choices[Count] | None = Field(default=None, description="per process; null: 1, 2, 4 … all cores")
    replicas: Choices[Count] | None = Field(default=None, description="sessions; null: what the cores allow")
    slots: Choices[Slots] | None = Field(
        default=None,
        description="generation with several clients: conversations that a session answers together, where the engine "
        "can; null: 1, 2, 4 … all clients of a session",
    )
    tensor: Choices[Count] = Field(
        default=[1], description="processes that share each layer's heads and neurons; the engine torch"
    )
    pipeline: Choices[Count] = Field(
        default=[1], description="processes with some of the layers each; the engine torch"
    )
    max_batch: Choices[Count] | None = Field(
        default=None,
        description="server scenario: most requests that a replica answers together; null: 1, 4, 16",
    )


class BackendAxis(Section):
    """Who runs the artefact; `tuner backends` lists what this host can."""

    engines: Choices[str] | None = Field(default=None, description="null: every engine this host can run")
    devices: Choices[str] = Field(
        default=["cpu"],
        description="where the engines run: cpu, cuda, …; the baseline runs on the first, if PyTorch does",
    )
    fixed_shape: Choices[bool] = Field(
        default=[False, True], description="true: a build that pads every input to the scenario's shape"
    )
    hosts: Choices[HostName] | None = Field(
        default=None,
        description="names of hosts, each of which has a search space of its own: a candidate asks for one of them; "
        "null: whichever takes part",
    )
    draft: Choices[Draft] = Field(
        default=["none"],
        description="generation: speculative decoding; lookup: what followed the same words before; student: a smaller "
        "student of the model, recovered by the study",
    )
    draft_layers: Choices[Count] | None = Field(
        default=None, description="layers of a drafting student; null: a third of the model's"
    )
    draft_ffn: Choices[Share] = Field(
        default=[0.0], description="share of FFN neurons removed from a drafting student"
    )
    draft_bits: Choices[Bits] = Field(
        default=[4], description="number formats of a drafting student, of those that the engine has"
    )


class Axes(Section):
    """The ranges of the five axes."""

    distillation: DistillationAxis = Field(default=DistillationAxis(), description="depth of the student")
    pruning: PruningAxis = Field(default=PruningAxis(), description="width of each layer")
    quantization: QuantizationAxis = Field(default=QuantizationAxis(), description="number formats")
    parallel: ParallelAxis = Field(default=ParallelAxis(), description="threads and replicas")
    backend: BackendAxis = Field(default=BackendAxis(), description="engines and devices")
