"""How one model is divided among several processes (ranks): which modules take part, and what can be divided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: What a bundle of a divided model carries beside its session: nothing imports these by name.
MODULES = ("split_session", "rank")
#: Column- and row-wise parts of one encoder layer (Shoeybi et al. 2019, Megatron-LM, section 3). Language models of
#: transformers bring such a plan themselves (`base_model_tp_plan`), its encoders do not.
_BERT = {
    "encoder.layer.*.attention.self.query": "colwise",
    "encoder.layer.*.attention.self.key": "colwise",
    "encoder.layer.*.attention.self.value": "colwise",
    "encoder.layer.*.attention.output.dense": "rowwise",
    "encoder.layer.*.intermediate.dense": "colwise",
    "encoder.layer.*.output.dense": "rowwise",
}
_DISTILBERT = {
    "transformer.layer.*.attention.q_lin": "colwise",
    "transformer.layer.*.attention.k_lin": "colwise",
    "transformer.layer.*.attention.v_lin": "colwise",
    "transformer.layer.*.attention.out_lin": "rowwise",
    "transformer.layer.*.ffn.lin1": "colwise",
    "transformer.layer.*.ffn.lin2": "rowwise",
}
ENCODER_PLANS = {"bert": _BERT, "roberta": _BERT, "electra": _BERT, "distilbert": _DISTILBERT}
#: Language models whose own plan is column- and row-wise products alone.
CAUSAL_FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
_UNKNOWN = "{}: how such layers are divided among processes is not known here; known: {}"


@dataclass(frozen=True)
class Split:
    """Ranks of one model: `tensor` of them share each layer, or `pipeline` of them have some layers each.

    With `cores` each rank runs on as many of them as it has threads, in turn; () leaves that to the system.

    Raises:
        ValueError: both are more than one.
    """

    tensor: int = 1
    pipeline: int = 1
    cores: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.tensor > 1 and self.pipeline > 1:
            raise ValueError(
                f"tensor {self.tensor} and pipeline {self.pipeline}: a model is divided in one way"
            )

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Split:
        """Return the split that a bundle, or a candidate's part, describes."""
        return cls(int(described.get("tensor", 1)), int(described.get("pipeline", 1)))

    @property
    def ranks(self) -> int:
        """Return the number of processes that the model is divided among."""
        return self.tensor * self.pipeline

    def cores_of(self, rank: int, threads: int) -> Sequence[int]:
        """Return the cores of a rank, () where there are too few to give each its own."""
        fits = len(self.cores) >= self.ranks * threads
        return self.cores[rank * threads : (rank + 1) * threads] if fits else ()


def family_refusal(family: str, causal: bool) -> str:
    """Return why models of a family cannot be divided, or nothing."""
    known = CAUSAL_FAMILIES if causal else tuple(ENCODER_PLANS)
    return "" if family in known else _UNKNOWN.format(family, ", ".join(known))


def tensor_refusal(degree: int, heads: int, neurons: int) -> str:
    """Return why `degree` ranks cannot share layers of so many (key-value) heads and FFN neurons, or nothing.

    One of the two is enough: attention whose heads do not come out even is computed whole by every rank.
    """
    if heads % degree == 0 or neurons % degree == 0:
        return ""
    return f"tensor {degree} divides neither the {heads} heads nor the {neurons} FFN neurons of a layer"


def pipeline_refusal(degree: int, layers: int) -> str:
    """Return why `degree` ranks cannot share a model of so many layers, or nothing."""
    return "" if degree <= layers else f"pipeline {degree} is more than the model's {layers} layers"
