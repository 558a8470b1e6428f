"""Candidate: one point of the search space, a choice on each of the five axes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

Bits = Literal[32, 16, 8, 4, 3, 2]
Scheme = Literal["none", "tf32", "fp16", "dynamic", "static", "weight-only", "fp8"]
_NUMBERS = {
    (32, "none"): "fp32",
    (32, "tf32"): "tf32",
    (16, "none"): "16-bit",
    (16, "fp16"): "fp16",
    (8, "fp8"): "fp8",
}


class _Axis(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Distillation(_Axis):
    """Depth of the student. `student_layers` equal to the teacher's depth means no layer is dropped."""

    student_layers: int = Field(ge=1)


class Pruning(_Axis):
    """Share of attention heads and of FFN neurons removed in each layer, 0 (none) to below 1."""

    heads: float = Field(default=0.0, ge=0.0, lt=1.0)
    ffn: float = Field(default=0.0, ge=0.0, lt=1.0)


class Quantization(_Axis):
    """Number format of the built artefact.

    32 is fp32, 16 is bf16 or fp16 as the engine has it (scheme `none`); 8 is int8 (`dynamic`, `static`, `weight-only`);
    4, 3 and 2 are integer weights (`weight-only`) in groups of `group_size` input channels, chosen by `method` (`rtn`,
    `gptq`, `awq` …) where an engine has several. On a GPU `tf32` is fp32 whose matrix products keep 10 bits of the
    mantissa, `fp16` is said outright, and `fp8` is e4m3 weights and activations. `kv_bits` is the precision of the KV
    cache, None as the engine has it.
    """

    bits: Bits = 32
    scheme: Scheme = "none"
    group_size: int | None = None
    method: str | None = None
    kv_bits: int | None = None

    @model_serializer(mode="wrap")
    def _plain(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what only generation has, where nothing is chosen: a candidate's hash is that of its choices."""
        only = ("method", "kv_bits")
        return {name: v for name, v in write(self).items() if name not in only or v is not None}


class Parallel(_Axis):
    """`replicas` are independent sessions, each on cores of its own; `threads` those inside each of its processes.

    A session is one process, or `tensor` of them that share each layer, or `pipeline` of them with some layers each.
    `slots` is how many conversations one session of a language model answers together (continuous batching).
    """

    threads: int = Field(default=1, ge=1)
    replicas: int = Field(default=1, ge=1)
    slots: int = Field(default=1, ge=1)
    tensor: int = Field(default=1, ge=1)
    pipeline: int = Field(default=1, ge=1)

    @model_serializer(mode="wrap")
    def _plain(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        always = ("threads", "replicas")
        return {name: v for name, v in write(self).items() if name in always or v > 1}

    @property
    def ranks(self) -> int:
        """Return the processes of one session."""
        return self.tensor * self.pipeline

    @property
    def cores(self) -> int:
        """Return the cores that all of it takes."""
        return self.threads * self.replicas * self.ranks

    @property
    def words(self) -> str:
        """Return it as short as tables have it: `2x1`, or `2x1/8` where eight conversations are answered together.

        Divided by tensor it ends with `/tp2`, by layers with `/pp2`.
        """
        more = {"": self.slots, "tp": self.tensor, "pp": self.pipeline}
        return f"{self.threads}x{self.replicas}" + "".join(f"/{k}{v}" for k, v in more.items() if v > 1)


class Backend(_Axis):
    """Engine and device that run the artefact; `fixed_shape` pads every input to the scenario's shape.

    `draft` is how a language model guesses several tokens ahead (speculative decoding): `lookup`, `student`, or None.
    A student is a smaller one of the same model: so many layers, a share of the FFN neurons removed, so many bits.
    `host` is the machine that is asked for by name, None: any.
    """

    engine: str
    device: str = "cpu"
    fixed_shape: bool = False
    draft: str | None = None
    draft_layers: int | None = None
    draft_ffn: float | None = None
    draft_bits: Bits | None = None
    host: str | None = None

    @model_serializer(mode="wrap")
    def _plain(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {
            name: v
            for name, v in write(self).items()
            if not name.startswith(("draft", "host")) or v is not None
        }

    @property
    def drafting(self) -> tuple[str | None, int | None, float | None, int | None]:
        """Return how it drafts, by its fields."""
        return self.draft, self.draft_layers, self.draft_ffn, self.draft_bits

    @property
    def words(self) -> str:
        """Return it as tables have it: `llama-cpp@cpu+student-10L-4b`."""
        place = f"{self.engine}@{self.device}" + ("/fixed" if self.fixed_shape else "")
        return f"{place}+{self.draft_words}" if self.draft else place

    @property
    def draft_words(self) -> str:
        """Return how it drafts: `lookup`, `student-10L-4b`, nothing where it does not."""
        if self.draft != "student":
            return self.draft or ""
        ffn = f"-f{self.draft_ffn:.0%}" if self.draft_ffn else ""
        return f"student-{self.draft_layers}L{ffn}-{self.draft_bits}b"


class Candidate(_Axis):
    """A frozen, hashable point of the joint space."""

    distillation: Distillation
    pruning: Pruning = Pruning()
    quantization: Quantization = Quantization()
    parallel: Parallel = Parallel()
    backend: Backend

    def canonical(self) -> dict[str, Any]:
        """Return the plain-data form: the same candidate always gives the same JSON."""
        return self.model_dump(mode="json")

    @property
    def hash(self) -> str:
        """Return the first 16 hex digits of the SHA-256 of the canonical form."""
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def student(self) -> tuple[int, float, float]:
        """Return what makes the model itself: layers, and the shares of heads and FFN neurons removed."""
        return self.distillation.student_layers, self.pruning.heads, self.pruning.ffn

    def is_unshaped(self, teacher_layers: int) -> bool:
        """Say whether the model itself is untouched: no layer dropped, nothing pruned."""
        return self.student == (teacher_layers, 0, 0)

    def on(self, host: str | None) -> Candidate:
        """Return the same candidate as it is asked of a host, or of any."""
        return self.model_copy(update={"backend": self.backend.model_copy(update={"host": host})})

    def differences(self, other: Candidate) -> dict[tuple[str, str], tuple[Any, Any]]:
        """Return what differs, by part and field: the other's value and this one's, None where there is none."""
        own, base = self.canonical(), other.canonical()
        fields = [(part, name) for part in own for name in [*own[part], *base[part]]]
        pairs = {(part, name): (base[part].get(name), own[part].get(name)) for part, name in fields}
        return {field: pair for field, pair in pairs.items() if pair[0] != pair[1]}

    def label(self) -> str:
        """Return a short form for tables: `2L h-50% f-75% int8-dynamic onnxruntime@cpu 2x1`."""
        q = self.quantization
        number = _NUMBERS.get((q.bits, q.scheme)) or f"int{q.bits}-{q.scheme}"
        number += f"-{q.method}" if q.method else ""
        number += f"-g{q.group_size}" if q.group_size else ""
        number += f" kv{q.kv_bits}" if q.kv_bits else ""
        shape = f"{self.distillation.student_layers}L h-{self.pruning.heads:.0%} f-{self.pruning.ffn:.0%}"
        where = f" on {self.backend.host}" if self.backend.host else ""
        return f"{shape} {number} {self.backend.words} {self.parallel.words}{where}"


def baseline(teacher_layers: int, cores: int, device: str = "cpu") -> Candidate:
    """Return the untouched model in fp32 PyTorch eager: what every speedup is held against.

    On the processor it has all cores; on a GPU one thread, which only hands out work.
    """
    return Candidate(
        distillation=Distillation(student_layers=teacher_layers),
        parallel=Parallel(threads=cores if device == "cpu" else 1),
        backend=Backend(engine="torch", device=device),
    )


def baseline_device(devices: Sequence[str], has: Collection[str] = ("cpu", "cuda")) -> str:
    """Return where a study's baseline runs: on its first device if PyTorch runs there, else on the processor.

    `has` are the devices that PyTorch has on the host in question.
    """
    return "cuda" if devices[0] == "cuda" and "cuda" in has else "cpu"
