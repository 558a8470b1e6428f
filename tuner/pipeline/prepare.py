"""Prepare: what is done once per study: data, teacher, and what the teacher's structure allows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tuner.errors import InputError
from tuner.pipeline.cache import Entry, code_hash, tree_hash, versions
from tuner.pipeline.workshop import Workshop
from tuner.spec.sources import locate_model
from tuner.tasks import text_classification as task

_T = TypeVar("_T")
_TASK = "tuner.tasks.text_classification"
#: What every stage on a model depends on: whole packages, since which helper a stage calls may change as well.
MODEL_CODE = ("tuner.compress", "tuner.runtime")
MODEL_LIBRARIES = ("torch", "transformers")
_DATA_LIBRARIES = ("tokenizers", "transformers", "numpy", "datasets")


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


def prepare(shop: Workshop) -> Prepared:
    """Read, split and encode the data; import and, where its head is untrained, fine-tune the model.

    Raises:
        InputError: the data or the model cannot be used; the message names it and the remedy.
    """
    documents = _documents(shop)
    folder = _model_folder(shop)
    tokenizer = folder or _tokenizer(shop, documents).path
    source = _source(shop, documents, folder, tokenizer)
    config = json.loads((source.path / "config.json").read_text())
    task.check_max_length(config, shop.spec.model.max_length)
    data = _encoded(shop, documents, tokenizer)
    teacher = source if source.info["trained_head"] else _fine_tuned(shop, source, data)
    return Prepared(data, teacher, _described(shop, teacher))


def _named(field: str, call: Callable[[], _T]) -> _T:
    """Run something whose bad input lies in this field of the study file, and say so."""
    try:
        return call()
    except InputError as error:
        message = str(error)
        raise InputError(message if message.startswith(field) else f"{field}: {message}") from None


def _documents(shop: Workshop) -> Entry:
    parts = {
        **task.data_key(shop.spec),
        "code": code_hash("tuner.tasks"),
        "versions": versions(*_DATA_LIBRARIES),
    }
    plain = shop.spec.to_plain()
    return _named("data", lambda: shop.job("documents", parts, f"{_TASK}:documents_job", spec=plain))


def _model_folder(shop: Workshop) -> Path | None:
    source = shop.spec.model.source
    return None if source is None else _named("model.source", lambda: locate_model(source, shop.spec.base))


def _tokenizer(shop: Workshop, documents: Entry) -> Entry:
    config = shop.spec.model.config or {}
    parts = {
        "documents": documents.key,
        "size": config.get("vocab_size"),
        "length": shop.spec.model.max_length,
    }
    return shop.job(
        "tokenizer",
        {**parts, "code": code_hash("tuner.tasks"), "versions": versions(*_DATA_LIBRARIES)},
        f"{_TASK}:train_tokenizer_job",
        spec=shop.spec.to_plain(),
        documents=documents.path,
    )


def _source(shop: Workshop, documents: Entry, folder: Path | None, tokenizer: Path) -> Entry:
    content = (
        tree_hash(folder) if folder else {"config": shop.spec.model.config, "tokenizer": tree_hash(tokenizer)}
    )
    labels, seed = documents.info["labels"], shop.spec.seed
    return _named(
        "model",
        lambda: shop.job(
            "source",
            {
                "content": content,
                "labels": labels,
                "seed": seed,
                "code": code_hash(*MODEL_CODE),
                "versions": versions(*MODEL_LIBRARIES),
            },
            "tuner.compress.source:import_model",
            source_dir=folder,
            config=shop.spec.model.config,
            labels=labels,
            tokenizer_dir=tokenizer,
            seed=seed,
        ),
    )


def _encoded(shop: Workshop, documents: Entry, tokenizer: Path) -> Entry:
    files = [p for p in sorted(tokenizer.iterdir()) if p.suffix in (".json", ".txt", ".model")]
    return shop.job(
        "data",
        {
            "documents": documents.key,
            "tokenizer": [tree_hash(p) for p in files],
            "length": shop.spec.model.max_length,
            "windows": shop.spec.recover.windows,
            "code": code_hash("tuner.tasks"),
            "versions": versions(*_DATA_LIBRARIES),
        },
        f"{_TASK}:encode_job",
        spec=shop.spec.to_plain(),
        documents=documents.path,
        tokenizer=tokenizer,
    )


def _fine_tuned(shop: Workshop, source: Entry, data: Entry) -> Entry:
    settings = shop.spec.model.fine_tune.model_dump(mode="json")
    return shop.job(
        "fine-tune",
        {
            "source": source.key,
            "data": data.key,
            "settings": settings,
            "seed": shop.spec.seed,
            "code": code_hash(*MODEL_CODE),
            "versions": versions(*MODEL_LIBRARIES),
        },
        "tuner.compress.finetune:fine_tune",
        checkpoint=source.path,
        data_dir=data.path,
        settings=settings,
        seed=shop.spec.seed,
    )


def _described(shop: Workshop, teacher: Entry) -> dict[str, Any]:
    parts = {"teacher": teacher.key, "code": code_hash(*MODEL_CODE)}
    call = "tuner.compress.anatomy:describe"
    return shop.stage("describe", parts, lambda _: shop.compute(call, checkpoint=teacher.path)).info
