"""StudySpec: what the user asks for, as a strict model of the study file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tuner.errors import InputError
from tuner.metrics import COSTS, LOADED, LOSS, METRICS
from tuner.spec.axes import Axes
from tuner.spec.constraint import Constraint, parse_constraint
from tuner.spec.nearest import did_you_mean
from tuner.spec.price import Price
from tuner.spec.scenario import Scenario
from tuner.spec.section import Choices, Section, distinct, wrong

GENERATION = "text-generation"
#: What a language model must keep of the baseline's greedy answers, where a study says nothing of agreement.
FLOOR = "agreement >= 0.25"
_BATCHES = [1, 4, 16]  # requests answered together, where a study of the server scenario names none
Hosts = Literal["one", "each", "choice"]
TaskName = Literal["text-classification", "text-generation"]
Sampler = Literal["stage-aware", "tpe-grouped", "tpe", "nsga2", "random", "grid"]


def _known_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}{did_you_mean(name, METRICS)}")
    return name


def _constraint(text: str) -> str:
    try:
        parse_constraint(text)
    except InputError as error:
        raise ValueError(str(error)) from error
    return text


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Label = Annotated[str, BeforeValidator(_text)]
MetricName = Annotated[str, AfterValidator(_known_metric), Field(json_schema_extra={"enum": list(METRICS)})]
ConstraintText = Annotated[str, AfterValidator(_constraint)]


def _traded(given: dict[str, Any]) -> list[str]:
    """Return the objectives of a study that names none."""
    metric, scenario = given.get("metric", "accuracy"), given.get("scenario")
    asked: dict[str, Any] = scenario if isinstance(scenario, dict) else {}
    quality = LOSS["perplexity"] if metric == "perplexity" else metric
    served = "server_rate" if asked.get("rate") == "max" else "cores"
    return [quality, {"offline": "throughput", "server": served}.get(str(asked.get("mode")), "latency_ms")]


def _demanded(given: dict[str, Any]) -> dict[str, Any]:
    """Return a study with what the server scenario demands written out as a constraint, and its choice of batches."""
    scenario, said = given.get("scenario"), given.get("constraints", [])
    if not isinstance(scenario, dict) or scenario.get("mode") != "server":
        return given
    axes = given.get("axes") or {}
    parallel = axes.get("parallel") or {} if isinstance(axes, dict) else None
    if isinstance(parallel, dict) and parallel.get("max_batch") is None:
        given = {**given, "axes": {**axes, "parallel": {**parallel, "max_batch": _BATCHES}}}
    bound = scenario.get("p99_ms")
    unsaid = isinstance(said, list) and not any("server_p99_ms" in str(text) for text in said)
    if not isinstance(bound, int | float) or not unsaid:
        return given
    return {**given, "constraints": [*said, f"server_p99_ms <= {bound:g}"]}


class FineTune(Section):
    """How a model without a trained head learns the task (cross-entropy, AdamW, linear decay), once."""

    epochs: float = Field(default=2.0, gt=0, description="passes over the train split")
    learning_rate: float = Field(default=5e-5, gt=0, description="AdamW's peak rate")
    batch_size: int = Field(default=16, ge=1, description="documents per step")


class ModelSpec(Section):
    """The model to tune: a `source`, or a `config` from which a new one is trained from scratch.

    `source` is `pkg://package/path`, a local folder, or a Hub id. `config` holds the fields of a transformers
    configuration with its `model_type`; its tokenizer (WordPiece) is trained on the train split.
    """

    source: str | None = Field(
        default=None, min_length=1, description="pkg://package/path, a folder, or a Hub id"
    )
    config: dict[str, Any] | None = Field(
        default=None, description="fields of a transformers configuration, `model_type` among them"
    )
    max_length: int = Field(default=128, ge=4, description="tokens; longer texts are cut and counted")
    fine_tune: FineTune = Field(default=FineTune(), description="training of a model without a trained head")

    @model_validator(mode="after")
    def _one_origin(self) -> ModelSpec:
        if self.source is None and self.config is None:
            raise ValueError("name a `source`, or give a `config` to train a new model from")
        if self.source is not None and self.config is not None:
            raise wrong("config", "`source` and `config` exclude each other: remove one")
        if self.config is not None and not isinstance(self.config.get("model_type"), str):
            raise wrong("config", "needs a `model_type`, such as bert")
        return self


class SplitSpec(Section):
    """Train, validation and test: shares of a seeded, stratified split, or splits that the data already has.

    A number is a share of all documents. A name is a split of the data's own: a Hub split, or a file or
    folder of that name inside the source; where `train` is a name, a number for another split is a share
    taken out of it.
    `column` names a column that holds train, validation or test in each row, and then replaces all three.
    """

    train: float | str = Field(default=0.6, description="share, or the name of an existing split")
    validation: float | str = Field(default=0.2, description="share, or the name of an existing split")
    test: float | str = Field(default=0.2, description="share, or the name of an existing split")
    column: str | None = Field(default=None, description="column that holds train, validation or test")

    @model_validator(mode="after")
    def _sound(self) -> SplitSpec:
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        for name, part in parts.items():
            if self.column is not None and part != type(self).model_fields[name].default:
                raise wrong(name, "`column` already says which document is where: remove one of them")
            if isinstance(part, float) and not 0 < part < 1:
                raise wrong(name, f"a share must be between 0 and 1, not {part:g}")
        if isinstance(self.train, float) and (named := [n for n, p in parts.items() if isinstance(p, str)]):
            raise wrong(
                named[0], "`train` is a share, so this must be one too; or name the train split as well"
            )
        total = sum(p for p in parts.values() if isinstance(p, float))
        if total > 1 + 1e-9 or (isinstance(self.train, str) and total >= 1):
            raise ValueError(f"the shares add up to {total:g}, more than there is")
        return self


class DataSpec(Section):
    """Labelled text: `pkg://package/path`, a local file or folder, or a Hub dataset."""

    source: str = Field(min_length=1, description="pkg://package/path, a file or folder, or a Hub dataset")
    format: Literal["auto", "csv", "jsonl", "parquet", "folder", "hub"] = Field(
        default="auto",
        description="auto: by the file's ending; folder: one folder a class, one file a document",
    )
    text: str = Field(default="text", min_length=1, description="column of the text")
    label: str | None = Field(
        default="label", min_length=1, description="column of the label; null: documents without labels"
    )
    split: SplitSpec = Field(default=SplitSpec(), description="how documents are divided")
    classes: Choices[Label] | None = Field(default=None, description="keep only these labels")
    limit: int | None = Field(default=None, ge=3, description="keep at most so many documents")

    @model_validator(mode="after")
    def _two_columns(self) -> DataSpec:
        if self.text == self.label:
            raise wrong("label", f"text and label are the same column, {self.text!r}")
        if self.classes is not None and self.label is None:
            raise wrong("classes", "documents without labels have no classes: remove it, or name a `label`")
        if self.classes is not None and len(self.classes) < 2:
            raise wrong("classes", "a classifier needs at least two classes")
        return self


class Asked(Section):
    """What a language model's quality is judged on, in each of validation and test."""

    documents: int = Field(
        default=24, ge=2, description="texts whose perplexity is taken, by a sliding window"
    )
    prompts: int = Field(
        default=16, ge=1, description="prompts whose greedy answers are compared with the baseline's"
    )
    new_tokens: int = Field(default=32, ge=1, description="tokens of those answers")
    questions: int = Field(
        default=24, ge=0, description="multiple-choice questions: which label has the text?"
    )


class Recover(Section):
    """Distillation from the teacher after shaping; ends at `steps` or at `seconds`, whichever is first.

    With `start: larger` a narrow student is cut from the recovered whole student of the next larger depth of the study,
    which has learnt most of it already: it gets `share` of the steps. Whole students are cut from the teacher.
    """

    start: Literal["teacher", "larger"] = Field(
        default="teacher", description="what narrow students are cut from"
    )
    share: float = Field(
        default=0.25, gt=0, le=1, description="of the steps, for a student that is cut from a larger one"
    )

    steps: int = Field(default=150, ge=0, description="optimiser steps; 0: no recovery")
    seconds: float | None = Field(default=None, gt=0, description="time cap; null: none")
    batch_size: int = Field(default=32, ge=1, description="documents per step")
    learning_rate: float = Field(
        default=2e-3, gt=0, description="AdamW's peak rate for a student of one layer; divided by its layers"
    )
    temperature: float = Field(default=2.0, gt=0, description="softens both logits (Hinton et al. 2015)")
    windows: int = Field(
        default=2, ge=1, description="parts of a long train text to learn from, each of max_length tokens"
    )
    calibration_samples: int = Field(
        default=256, ge=8, description="documents for importance and static int8"
    )


class Auto(Section):
    """When a search ends by itself: the next `minutes` are expected to add less than `share` to the hypervolume."""

    share: float = Field(default=0.01, gt=0, lt=1, description="of the hypervolume that the front has")
    minutes: float = Field(default=5.0, gt=0, description="of search that could follow")


class Budget(Section):
    """Distinct candidates (`trials`), `minutes`, `auto`; at least one. The first that is reached ends the search."""

    trials: int | None = Field(default=None, ge=1, description="distinct candidates")
    minutes: float | None = Field(default=None, gt=0, description="wall time of the search")
    auto: Auto | None = Field(default=None, description="end where little more is expected")

    @model_validator(mode="before")
    @classmethod
    def _word(cls, given: Any) -> Any:
        """Read `budget: auto` and `auto: true` as the defaults."""
        if given == "auto":
            return {"auto": {}}
        if isinstance(given, dict) and given.get("auto") is True:
            return {**given, "auto": {}}
        return given

    @model_validator(mode="after")
    def _ends(self) -> Budget:
        if self.trials is None and self.minutes is None and self.auto is None:
            raise ValueError("give `trials`, `minutes`, or `auto`: a study must end")
        return self

    def words(self) -> str:
        """Return the budget as a person says it: `26 candidates or 14 minutes`."""
        parts = [] if self.trials is None else [f"{self.trials} candidate{'s'[: self.trials != 1]}"]
        parts += [] if self.minutes is None else [f"{self.minutes:g} minutes"]
        if self.auto is not None:
            parts.append(f"until {self.auto.minutes:g} minutes promise under {self.auto.share:.1%}")
        return " or ".join(parts)


class StageAware(Section):
    """Parts of the stage-aware search; each can be switched off."""

    by_cost: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="power of the seconds that a candidate would still cost, in its worth; 0: none, as where trials "
        "alone are counted",
    )
    gate: bool = Field(
        default=False,
        description="measure a new shape untrained first, where that may well save its recovery",
    )
    subsets: bool = Field(
        default=False, description="judge accuracy in growing subsets; stop when surely beaten"
    )
    let_through: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="share of what the gate would refuse that is measured all the same",
    )
    warm: bool = Field(
        default=True, description="learn from earlier studies of such a model on such hardware"
    )


class Measure(Section):
    """When a latency measurement ends: half-width of the ratio's 95 % interval, or the time cap."""

    precision: float = Field(
        default=0.03, gt=0, lt=1, description="half-width of the ratio's interval, relative"
    )
    seconds: float = Field(default=8.0, gt=0, description="time cap of one measurement")


class Limits(Section):
    """What one child process of a trial may take before it ends as failed."""

    minutes: float = Field(default=10.0, gt=0, description="wall time")
    memory_gb: float | None = Field(default=None, gt=0, description="null: 80 % of the host's memory")
    attempts: int = Field(
        default=3, ge=1, description="workers that may be lost with a trial before it fails"
    )


class Requires(Section):
    """What a worker must have to take part in the study, beside what a candidate itself needs."""

    memory_gb: float | None = Field(default=None, gt=0, description="memory of the host")
    cores: int | None = Field(default=None, ge=1, description="CPU cores that the worker may use")
    labels: dict[str, Label] = Field(default={}, description="labels that the worker was started with")


class StudySpec(Section):
    """A whole study file."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$", description="under which the study is stored"
    )
    task: TaskName = Field(default="text-classification", description="what the model does")
    model: ModelSpec = Field(description="the model to tune")
    data: DataSpec = Field(description="the labelled documents")
    metric: Literal["accuracy", "f1_macro", "perplexity"] = Field(
        default="accuracy", description="what good means; generation: perplexity"
    )
    objectives: Choices[MetricName] = Field(
        default=["accuracy", "latency_ms"],
        description="what the search trades; where nothing is said, the metric (generation: perplexity_increase) and "
        "latency (offline: throughput; server: cores at a rate, server_rate where that is looked for)",
    )
    constraints: Annotated[list[ConstraintText], AfterValidator(distinct)] = Field(
        default=[], description="what a feasible trial meets: METRIC <= NUMBER; generation: agreement at least 0.25",
        examples=[["accuracy_drop <= 0.01", "latency_ms <= 5"]],
    )  # fmt: skip
    scenario: Scenario = Field(default=Scenario(), description="how the model is asked while it is measured")
    asked: Asked = Field(default=Asked(), description="generation: what quality is judged on")
    axes: Axes = Field(default=Axes(), description="the ranges of the five axes")
    recover: Recover = Field(default=Recover(), description="distillation after a model was made smaller")
    budget: Budget = Field(description="when the search ends")
    sampler: Sampler = Field(default="stage-aware", description="who proposes candidates")
    search: StageAware = Field(default=StageAware(), description="parts of `sampler: stage-aware`")
    seed: int = Field(default=0, ge=0, lt=2**32, description="of splits, training and sampler")
    measure: Measure = Field(default=Measure(), description="how precisely latency is measured")
    limits: Limits = Field(default=Limits(), description="of one child process")
    requires: Requires = Field(default=Requires(), description="what a worker must have")
    hosts: Hosts = Field(
        default="one",
        description="one: all trials on the hardware that first took the study; each: on several, with a front for "
        "each; choice: on several, and the hardware is part of the choice: one front",
    )
    price: Price | None = Field(default=None, description="what hosts cost: gives cost_per_million")
    tags: Annotated[list[str], AfterValidator(distinct)] = Field(
        default=[], max_length=20, description="words to find the study by in lists"
    )
    #: Folder of the study file: relative paths in it are resolved against this. Not part of the file.
    base: Path | None = Field(default=None, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _task_decides(cls, given: Any) -> Any:
        """Fill in what follows from the task: the metric, what is traded, and that nonsense does not pass."""
        if not isinstance(given, dict):
            return given
        generates = given.get("task") == GENERATION
        filled = {"metric": "perplexity", **given} if generates else dict(given)
        if "objectives" not in given:
            filled["objectives"] = _traded(filled)
        said = given.get("constraints", [])
        if generates and isinstance(said, list) and not any("agreement" in str(text) for text in said):
            filled["constraints"] = [*said, FLOOR]
        return _demanded(filled)

    @model_validator(mode="after")
    def _fits(self) -> StudySpec:
        generates, length = self.task == GENERATION, self.scenario.sequence_length
        if generates != (self.metric == "perplexity"):
            raise wrong("metric", f"{self.metric} is no metric of {self.task}")
        if not generates and isinstance(length, int) and length > self.model.max_length:
            message = f"{length} tokens are more than the {self.model.max_length} of model.max_length"
            raise wrong("scenario.sequence_length", message)
        if not generates and self.data.label is None:
            raise wrong("data.label", "a classifier needs labels; texts without any suit text-generation")
        if generates:
            self._check_generation()
        if not self.scenario.serves:
            self._check_unserved()
        if self.axes.backend.hosts and self.hosts == "one":
            raise wrong(
                "hosts",
                "axes.backend.hosts names some: say `each` (a front for each) or `choice` (one front)",
            )
        if (costs := self.asked_metrics & {*COSTS}) and self.price is None:
            raise wrong(
                "price", f"{min(costs)} is asked for: say what an hour costs, `price: {{per_hour: 0.40}}`"
            )
        if "cost_per_million_tokens" in costs and not generates:
            raise wrong("objectives", "a classifier answers without tokens: ask for cost_per_million")
        if self.budget.auto is not None and self.sampler != "stage-aware":
            raise wrong("budget.auto", f"sampler {self.sampler} expects nothing: `auto` takes stage-aware")
        return self

    def _check_unserved(self) -> None:
        asked = [*self.objectives, *(constraint.metric for constraint in self.parsed_constraints())]
        if loaded := [name for name in asked if name in LOADED]:
            field = "objectives" if loaded[0] in self.objectives else "constraints"
            raise wrong(field, f"{loaded[0]} is measured in the server scenario: set scenario.mode to server")
        if self.axes.parallel.max_batch is not None:
            raise wrong("axes.parallel.max_batch", "only the server scenario answers requests together")

    def _check_generation(self) -> None:
        if self.model.config is not None:
            raise wrong(
                "model.config", "a language model is tuned, not trained from scratch: name a `source`"
            )
        if self.scenario.mode == "offline":
            raise wrong("scenario.mode", "generation is measured single-stream, or with several `clients`")
        if self.scenario.serves:
            raise wrong(
                "scenario.mode",
                "the server scenario is of text-classification: a 99th percentile takes 459 answers, and a language "
                "model's take seconds each; measure it single-stream, or with several `clients`",
            )
        if self.recover.start == "larger":
            raise wrong("recover.start", "language models' students are cut from the teacher")

    @property
    def asked_metrics(self) -> set[str]:
        """Return the metrics that are traded or bounded: a study is nothing without them."""
        return {*self.objectives, *(constraint.metric for constraint in self.parsed_constraints())}

    def parsed_constraints(self) -> list[Constraint]:
        """Return the constraints as objects."""
        return [parse_constraint(text) for text in self.constraints]

    def to_plain(self) -> dict[str, Any]:
        """Return JSON-able data that `StudySpec.model_validate` reads back, `base` included, for jobs."""
        return {**self.model_dump(mode="json"), "base": str(self.base) if self.base else None}
