"""Expectations: what a built language model expects in a split's texts, and what that is worth.

One pass over the artefact gives all three: perplexity, multiple choice, and the agreement with the baseline's answers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tuner.pipeline.building import reference_artefact
from tuner.pipeline.cache import Entry, code_hash
from tuner.pipeline.judgement import Judgement
from tuner.pipeline.prepared import Prepared
from tuner.pipeline.workshop import Workshop, serving
from tuner.tasks import generation as task

_CODE = ("tuner.measure.server", "tuner.measure.scoring", "tuner.runtime")


def scores(shop: Workshop, ready: Prepared, artefact: Entry, split: str) -> Entry:
    """Return the entry with `scores.npz` of the split's rows and `asked.npz` of the baseline's answers' rows."""
    asked = _asked(shop, ready)

    def taken(out: Path) -> dict[str, Any]:
        with shop.quiet.shared(), serving(shop, artefact) as child:
            np.savez(out / "scores.npz", allow_pickle=False, **child.score(ready.data.path / f"{split}.npz"))
            np.savez(out / "asked.npz", allow_pickle=False, **child.score(asked.path / f"{split}.npz"))
        return {}

    parts = {
        "artefact": artefact.info.get(
            "answers", artefact.key
        ),  # drafted answers are those of the model itself
        "data": ready.data.key,
        "asked": asked.key,
        "split": split,
        "host": shop.host.fingerprint,
        "code": code_hash(*_CODE),
    }
    return shop.stage("quality", parts, taken)


def _asked(shop: Workshop, ready: Prepared) -> Entry:
    """Return the entry with each split's prompts and the baseline's greedy answers to them, as rows to be scored."""
    reference = reference_artefact(shop, ready)
    prompts, asked = ready.data.path / "prompts.npz", shop.spec.asked
    stop = json.loads((ready.data.path / "meta.json").read_text())["stop_token_ids"]

    def taken(out: Path) -> dict[str, Any]:
        with shop.quiet.shared(), serving(shop, reference) as child, np.load(prompts) as given:
            for split in ("validation", "test"):
                answers = child.answer(prompts, split, asked.new_tokens, stop)
                kept = [[int(token) for token in one if token >= 0] for one in answers]
                task.asked_rows(given[split], kept).save(out / f"{split}.npz")
        return {}

    parts = {
        "artefact": reference.key,
        "data": ready.data.key,
        "new_tokens": asked.new_tokens,
        "host": shop.host.fingerprint,
        "code": code_hash(*_CODE, "tuner.tasks.generation"),
    }
    return shop.stage("asked", parts, taken)


def judge(shop: Workshop, ready: Prepared, split: str, own: Entry, base: Entry) -> Judgement:
    """Return perplexity, agreement and multiple choice with their losses against the baseline's expectations."""
    rows = task.Rows.load(ready.data.path / f"{split}.npz")
    asked = task.Rows.load(_asked(shop, ready).path / f"{split}.npz")
    scored, before = (task.Scores.load(entry.path / "scores.npz") for entry in (own, base))
    found = task.evaluate(rows, scored, before, asked, task.Scores.load(own.path / "asked.npz"))
    right = task.choices(scored, rows) == rows.answer if len(rows.answer) else np.zeros(0, dtype=bool)
    return Judgement(found, right.tolist(), [])


def counts(shop: Workshop, ready: Prepared, split: str, own: Entry) -> dict[str, list[float]]:
    """Return what quality is made of: `nll` and `tokens` of each document, `hits` and `answered` of each answer."""
    rows, asked = ready.data.path / f"{split}.npz", _asked(shop, ready).path / f"{split}.npz"
    loss = task.text_loss(task.Scores.load(own.path / "scores.npz"), task.Rows.load(rows))
    found = task.answer_hits(task.Scores.load(own.path / "asked.npz").greedy, task.Rows.load(asked))
    return {
        "nll": loss.nll.tolist(),
        "tokens": loss.tokens.tolist(),
        "hits": found.hits.tolist(),
        "answered": found.tokens.tolist(),
    }
