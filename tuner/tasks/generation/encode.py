"""Encode: documents as what a language model learns from, is judged on, and is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuner.errors import InputError
from tuner.spec.model import StudySpec
from tuner.tasks.documents import SPLITS, Documents, Split
from tuner.tasks.encode import INPUTS
from tuner.tasks.generation.chat import Opening, load_chat
from tuner.tasks.generation.coder import Coder, sampling
from tuner.tasks.generation.prompts import prompts
from tuner.tasks.generation.questions import questions
from tuner.tasks.generation.rows import Row, Rows
from tuner.tasks.generation.windows import running_text, sliding
from tuner.tasks.split import stratified_order

#: Windows to learn from: what 64 steps of 32 read; a student seldom has the time for more.
DISTILLED = 2048
#: Different requests while speed is measured, so that no answer is found in a cache.
MEASURED = 32
_JUDGED = SPLITS[1:]


def encode(documents: Documents, tokenizer: Path, spec: StudySpec, out: Path) -> dict[str, Any]:
    """Write what the stages read, `meta.json` and the texts; return the meta data.

    `train.npz` and `distill.npz`: int64 `input_ids` and `attention_mask` (windows, model.max_length) of running text
    of the train split, `recover.calibration_samples` and `DISTILLED` windows at most. `validation.npz`, `test.npz`:
    `Rows`: sliding windows over whole documents and, where documents have labels, multiple-choice questions.
    `prompts.npz`: int64 `measure`, `validation` and `test` (prompts, scenario.prompt_tokens).

    Raises:
        InputError: the folder has no tokenizer, its chat template cannot be rendered, or the documents are too few
            or too short for what the study asks; the message names the field.
    """
    out.mkdir(parents=True, exist_ok=True)
    coder, opening = Coder.load(tokenizer), load_chat(tokenizer)
    material = _Material(documents, spec, coder)
    windows = _learnt(material, out)
    rows = {name: _judged(material, name, out) for name in _JUDGED}
    np.savez(out / "prompts.npz", allow_pickle=False, **_asked(material, opening))
    documents.save(out)
    meta = {
        "labels": documents.labels,
        "documents": documents.summary(),
        "truncated": dict.fromkeys(SPLITS, 0),  # long text is read in windows
        "windows": windows,
        "rows": rows,
        "max_length": spec.model.max_length,
        "pad_token_id": coder.pad,
        "vocabulary": coder.tokenizer.get_vocab_size(),
        "inputs": INPUTS,
        "stop_token_ids": coder.stops,
        "generation": sampling(tokenizer),
        "chat": opening is not None,
    }
    (out / "meta.json").write_text(json.dumps(meta, indent=1))
    return meta


@dataclass(frozen=True)
class _Material:
    documents: Documents
    spec: StudySpec
    coder: Coder

    def order(self, split: str) -> list[int]:
        """Return the positions of a split's documents in a seeded order with the labels in proportion."""
        return stratified_order([str(label) for label in self.documents[split].labels], self.spec.seed)

    def texts(self, split: str) -> list[str]:
        """Return a split's texts in that order."""
        return [self.documents[split].texts[i] for i in self.order(split)]


def _learnt(material: _Material, out: Path) -> dict[str, int]:
    """Write `train.npz` and `distill.npz`; return how many windows each has."""
    spec, coder = material.spec, material.coder
    texts = coder.texts(material.texts("train"))
    sizes = {"train": spec.recover.calibration_samples, "distill": DISTILLED}
    for name, most in sizes.items():
        ids, mask = running_text(texts, spec.model.max_length, most, spec.recover.windows, coder.pad)
        np.savez(out / f"{name}.npz", allow_pickle=False, input_ids=ids, attention_mask=mask)
        sizes[name] = len(ids)
    return sizes


def _judged(material: _Material, name: str, out: Path) -> int:
    """Write a split's rows; return how many there are."""
    spec, coder, split = material.spec, material.coder, material.documents[name]
    order, length = material.order(name), spec.model.max_length
    rows = _text_rows(split, order[: spec.asked.documents], coder, length)
    if not rows:
        raise InputError(f"data.text: no document of {name} has two tokens")
    asked = order[: spec.asked.questions] if material.documents.labels else []
    options, answers = questions(split, asked, material.documents.labels, coder, length)
    Rows.of(rows + options, answers, coder.pad).save(out / f"{name}.npz")
    return len(rows) + len(options)


def _text_rows(split: Split, chosen: list[int], coder: Coder, length: int) -> list[Row]:
    texts = coder.texts([split.texts[i] for i in chosen])
    return [row for group, text in enumerate(texts) for row in sliding(text, length, group)]


def _asked(material: _Material, opening: Opening | None) -> dict[str, np.ndarray]:
    """Return the prompts: of the train split for measuring speed, of the other two for comparing answers."""
    spec = material.spec
    wanted = {"train": MEASURED, **dict.fromkeys(_JUDGED, spec.asked.prompts)}
    length = spec.scenario.prompt_tokens
    made = {s: prompts(material.texts(s), material.coder, opening, length, n) for s, n in wanted.items()}
    return {"measure": made.pop("train"), **made}
