"""Prepared: the fixed inputs of a study, and the steps to them that all tasks share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tuner.errors import InputError
from tuner.pipeline.cache import Entry, code_hash, versions
from tuner.pipeline.workshop import Workshop
from tuner.tasks import load_task

_T = TypeVar("_T")
#: What every stage on a model depends on: whole packages, since which helper a stage calls may change as well.
MODEL_CODE = ("tuner.compress", "tuner.runtime")
MODEL_LIBRARIES = ("torch", "transformers")
DATA_LIBRARIES = ("tokenizers", "transformers", "numpy", "datasets")


@dataclass(frozen=True)
class Prepared:
    """The study's fixed inputs: encoded splits, the fine-tuned teacher, and its `describe`d structure."""

    data: Entry
    teacher: Entry
    description: dict[str, Any]

    @property
    def layers(self) -> int:
        """Return the teacher's depth."""
        return int(self.description["layers"])

    @property
    def labels(self) -> list[str]:
        """Return the names of the classes, in the order of the logits."""
        return list(self.data.info["labels"])


def named(field: str, call: Callable[[], _T]) -> _T:
    """Run something whose bad input lies in this field of the study file, and say so."""
    try:
        return call()
    except InputError as error:
        message = str(error)
        raise InputError(message if message.startswith(field) else f"{field}: {message}") from None


def documents(shop: Workshop) -> Entry:
    """Return the study's texts in three splits."""
    task = load_task(shop.spec)
    parts = {
        **task.data_key(shop.spec),
        "code": code_hash("tuner.tasks"),
        "versions": versions(*DATA_LIBRARIES),
    }
    plain, call = shop.spec.to_plain(), f"{task.__name__}:documents_job"
    return named("data", lambda: shop.job("documents", parts, call, spec=plain))


def encoded(shop: Workshop, texts: Entry, tokenizer: Path, key: Any) -> Entry:
    """Return the arrays that the stages read of the texts; `key` stands for the tokenizer's content."""
    task = load_task(shop.spec)
    return shop.job(
        "data",
        {
            "documents": texts.key,
            "tokenizer": key,
            **task.encode_key(shop.spec),
            "code": code_hash("tuner.tasks"),
            "versions": versions(*DATA_LIBRARIES),
        },
        f"{task.__name__}:encode_job",
        spec=shop.spec.to_plain(),
        documents=texts.path,
        tokenizer=tokenizer,
    )


def described(shop: Workshop, teacher: Entry) -> dict[str, Any]:
    """Return what the teacher's structure allows."""
    parts = {"teacher": teacher.key, "code": code_hash(*MODEL_CODE)}
    call = "tuner.compress.anatomy:describe"
    return shop.stage("describe", parts, lambda _: shop.compute(call, checkpoint=teacher.path)).info
