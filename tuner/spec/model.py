"""StudySpec: what the user asks for, as a strict model of the study file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Bits = Literal[32, 16, 8, 4]
Scheme8 = Literal["dynamic", "static"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FineTune(_Section):
    """How a model without a trained head learns the task (cross-entropy, AdamW, linear decay), once."""

    epochs: float = Field(default=2.0, gt=0)
    learning_rate: float = Field(default=5e-5, gt=0)
    batch_size: int = Field(default=16, ge=1)


class ModelSpec(_Section):
    """The model to tune: a `source`, or a `config` from which a new one is trained from scratch.

    `source` is `pkg://package/path`, a local folder, or a Hub id. `config` holds the fields of a transformers
    configuration with its `model_type`; its tokenizer (WordPiece) is trained on the train split.
    """

    source: str | None = None
    config: dict[str, Any] | None = None
    max_length: int = Field(default=128, ge=4, description="tokens; longer texts are cut and counted")
    fine_tune: FineTune = FineTune()


class SplitSpec(_Section):
    """Shares of a seeded, stratified split; or the name of a column that holds train/validation/test."""

    train: float | str = 0.6
    validation: float | str = 0.2
    test: float | str = 0.2
    column: str | None = None


class DataSpec(_Section):
    """Labelled text: `pkg://package/path`, a local file or folder, or a Hub dataset."""

    source: str
    format: Literal["auto", "csv", "jsonl", "parquet", "folder", "hub"] = "auto"
    text: str = "text"
    label: str = "label"
    split: SplitSpec = SplitSpec()
    classes: list[str] | None = Field(default=None, description="keep only these labels")
    limit: int | None = Field(default=None, ge=3, description="keep at most so many documents")


class Scenario(_Section):
    """MLPerf's single-stream (one request after the other) or offline (all samples at hand)."""

    mode: Literal["single-stream", "offline"] = "single-stream"
    batch: int = Field(default=1, ge=1)
    sequence_length: int | Literal["data"] = Field(default=128, description="tokens, or the data's own lengths")


class DistillationAxis(_Section):
    student_layers: list[Annotated[int, Field(ge=1)]] | None = Field(default=None, description="null: 1 to all")


class PruningAxis(_Section):
    heads: list[Share] = [0.0, 0.25, 0.5]
    ffn: list[Share] = [0.0, 0.25, 0.5, 0.75]


class QuantizationAxis(_Section):
    bits: list[Bits] = [32, 16, 8, 4]
    schemes: list[Scheme8] = ["dynamic", "static"]
    group_size: list[Literal[16, 32, 64, 128]] = [32, 128]


class ParallelAxis(_Section):
    threads: list[Annotated[int, Field(ge=1)]] | None = Field(default=None, description="null: 1, 2, 4 … all cores")
    replicas: list[Annotated[int, Field(ge=1)]] | None = Field(default=None, description="null: what the cores allow")


class BackendAxis(_Section):
    engines: list[str] | None = Field(default=None, description="null: every engine this host can run")
    devices: list[str] = ["cpu"]
    fixed_shape: list[bool] = [False, True]


class Axes(_Section):
    """The ranges of the five axes."""

    distillation: DistillationAxis = DistillationAxis()
    pruning: PruningAxis = PruningAxis()
    quantization: QuantizationAxis = QuantizationAxis()
    parallel: ParallelAxis = ParallelAxis()
    backend: BackendAxis = BackendAxis()


class Recover(_Section):
    """Distillation from the teacher after shaping; ends at `steps` or at `seconds`, whichever is first."""

    steps: int = Field(default=150, ge=0)
    seconds: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=3e-4, gt=0)
    temperature: float = Field(default=2.0, gt=0)
    calibration_samples: int = Field(default=256, ge=8, description="documents for importance and static int8")


class Budget(_Section):
    """Distinct candidates (`trials`) and/or `minutes`; at least one."""

    trials: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0)


class Measure(_Section):
    """When a latency measurement ends: half-width of the ratio's 95 % interval, or the time cap."""

    precision: float = Field(default=0.03, gt=0, lt=1)
    seconds: float = Field(default=8.0, gt=0)


class Limits(_Section):
    """What one child process of a trial may take before it ends as failed."""

    minutes: float = Field(default=10.0, gt=0)
    memory_gb: float | None = Field(default=None, gt=0, description="null: 80 % of the host's memory")


class StudySpec(_Section):
    """A whole study file."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")
    task: Literal["text-classification"] = "text-classification"
    model: ModelSpec
    data: DataSpec
    metric: Literal["accuracy", "f1_macro"] = "accuracy"
    objectives: list[str] = ["accuracy", "latency_ms"]
    constraints: list[str] = []
    scenario: Scenario = Scenario()
    axes: Axes = Axes()
    recover: Recover = Recover()
    budget: Budget
    sampler: Literal["tpe-grouped", "tpe", "nsga2", "random", "grid"] = "tpe-grouped"
    seed: int = 0
    measure: Measure = Measure()
    limits: Limits = Limits()
    #: Folder of the study file: relative paths in it are resolved against this. Not part of the file.
    base: Path | None = Field(default=None, exclude=True, json_schema_extra={"hidden": True})
