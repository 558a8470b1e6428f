"""Classification: from a study of a text classifier to its encoded documents and its fine-tuned teacher."""

from __future__ import annotations

import json
from pathlib import Path

from tuner.pipeline.cache import Entry, code_hash, tree_hash, versions
from tuner.pipeline.prepared import (
    DATA_LIBRARIES,
    MODEL_CODE,
    MODEL_LIBRARIES,
    Prepared,
    described,
    documents,
    encoded,
    named,
)
from tuner.pipeline.workshop import Workshop
from tuner.spec.sources import locate_model
from tuner.tasks import text_classification as task

_TASK = "tuner.tasks.text_classification"


def prepare_classifier(shop: Workshop) -> Prepared:
    """Read, split and encode the data; import and, where its head is untrained, fine-tune the model.

    Raises:
        InputError: the data or the model cannot be used; the message names it and the remedy.
    """
    texts = documents(shop)
    folder = _model_folder(shop)
    tokenizer = folder or _tokenizer(shop, texts).path
    source = _source(shop, texts, folder, tokenizer)
    config = json.loads((source.path / "config.json").read_text())
    task.check_max_length(config, shop.spec.model.max_length)
    data = _encoded(shop, texts, tokenizer)
    teacher = source if source.info["trained_head"] else _fine_tuned(shop, source, data)
    return Prepared(data, teacher, described(shop, teacher))


def _model_folder(shop: Workshop) -> Path | None:
    source = shop.spec.model.source
    return None if source is None else named("model.source", lambda: locate_model(source, shop.spec.base))


def _tokenizer(shop: Workshop, documents: Entry) -> Entry:
    config = shop.spec.model.config or {}
    parts = {
        "documents": documents.key,
        "size": config.get("vocab_size"),
        "length": shop.spec.model.max_length,
    }
    return shop.job(
        "tokenizer",
        {**parts, "code": code_hash("tuner.tasks"), "versions": versions(*DATA_LIBRARIES)},
        f"{_TASK}:train_tokenizer_job",
        spec=shop.spec.to_plain(),
        documents=documents.path,
    )


def _source(shop: Workshop, documents: Entry, folder: Path | None, tokenizer: Path) -> Entry:
    content = (
        tree_hash(folder) if folder else {"config": shop.spec.model.config, "tokenizer": tree_hash(tokenizer)}
    )
    labels, seed = documents.info["labels"], shop.spec.seed
    return named(
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


def _encoded(shop: Workshop, texts: Entry, tokenizer: Path) -> Entry:
    files = [p for p in sorted(tokenizer.iterdir()) if p.suffix in (".json", ".txt", ".model")]
    return encoded(shop, texts, tokenizer, [tree_hash(p) for p in files])


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
