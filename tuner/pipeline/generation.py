"""Generation: from a study of a language model to its encoded texts, prompts and questions, and its teacher."""

from __future__ import annotations

import json

from tuner.pipeline.cache import Entry, code_hash, tree_hash, versions
from tuner.pipeline.prepared import (
    MODEL_CODE,
    MODEL_LIBRARIES,
    Prepared,
    described,
    documents,
    encoded,
    named,
)
from tuner.pipeline.workshop import Workshop
from tuner.spec.sources import locate_language_model
from tuner.tasks import generation as task


def prepare_language_model(shop: Workshop) -> Prepared:
    """Read and split the texts; import the model, dequantized where it is a GGUF; encode with its tokenizer.

    Raises:
        InputError: the data or the model cannot be used; the message names it and the remedy.
    """
    texts, teacher = documents(shop), _source(shop)
    task.check_max_length(json.loads((teacher.path / "config.json").read_text()), shop.spec.model.max_length)
    data = named("model", lambda: encoded(shop, texts, teacher.path, teacher.key))
    return Prepared(data, teacher, described(shop, teacher))


def _source(shop: Workshop) -> Entry:
    source = shop.spec.model.source
    assert source is not None  # the study file sees to it
    place = named("model.source", lambda: locate_language_model(source, shop.spec.base))
    parts = {
        "content": tree_hash(place),
        "code": code_hash(*MODEL_CODE),
        "versions": versions(*MODEL_LIBRARIES, "gguf"),
    }
    call = "tuner.compress.causal.source:import_language_model"
    return named("model", lambda: shop.job("source", parts, call, source_dir=place))
