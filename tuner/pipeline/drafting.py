"""Drafting: an artefact with a student inside that drafts its answers (see `runtime/drafting.py`)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from tuner.backends.registry import backends
from tuner.candidate import Backend, Candidate, Distillation, Pruning, Quantization
from tuner.errors import UnsupportedError
from tuner.hardware import Host
from tuner.pipeline.building import artefact_for
from tuner.pipeline.cache import Entry
from tuner.pipeline.prepared import Prepared
from tuner.pipeline.shaping import checkpoint_for
from tuner.pipeline.workshop import Workshop
from tuner.runtime.drafting import DRAFT
from tuner.spec.model import GENERATION
from tuner.stage import StageRun


def with_draft(
    shop: Workshop, ready: Prepared, checkpoint: Entry, artefact: Entry, candidate: Candidate
) -> Entry:
    """Return the artefact of a checkpoint as its candidate runs it: with the student that drafts, if one does.

    A pair of artefacts is an entry of its own, whose files are links to theirs; `info["answers"]` is the key of the
    artefact whose answers it gives. Making the student is one stage of the trial, `draft`.

    Raises:
        UnsupportedError: the engine has no such number format here.
        BuildError, JobError: as `artefact_for`.
    """
    if candidate.backend.draft != "student":
        return artefact
    before = shop.take_runs()
    student = drafter(candidate, shop.host)
    draft = artefact_for(shop, ready, checkpoint_for(shop, ready, student), student)
    runs = shop.take_runs()
    made = StageRun("draft", draft.key, all(run.hit for run in runs), sum(run.seconds for run in runs))
    shop.runs = [*before, made]
    parts = {
        "checkpoint": checkpoint.key,
        "data": ready.data.key,
        "artefact": artefact.key,
        "draft": draft.key,
    }

    def paired(out: Path) -> dict[str, Any]:
        _link(artefact.path, out)
        _link(draft.path, out / DRAFT)
        return {**artefact.info, "answers": artefact.key}

    return shop.stage("build", parts, paired)


def drafter(candidate: Candidate, host: Host) -> Candidate:
    """Return the student that drafts for a candidate, as a candidate of its own on the same engine.

    Raises:
        UnsupportedError: the engine does not have its bits here.
    """
    who = candidate.backend
    assert who.draft_layers is not None and who.draft_bits is not None  # the space says them of every student
    return Candidate(
        distillation=Distillation(student_layers=who.draft_layers),
        pruning=Pruning(ffn=who.draft_ffn or 0.0),
        quantization=_format(who, candidate.quantization.kv_bits, host),
        parallel=candidate.parallel,
        backend=Backend(engine=who.engine, device=who.device),
    )


def _format(who: Backend, kv_bits: int | None, host: Host) -> Quantization:
    """Return the engine's own way to the bits."""
    for offer in backends()[who.engine].offers(host):
        found = (offer.task, offer.device, offer.bits)
        if found == (GENERATION, who.device, who.draft_bits) and offer.available:
            chosen = {
                "method": next(iter(offer.methods), None),
                "group_size": next(iter(offer.group_sizes), None),
            }
            kept = kv_bits if kv_bits in offer.kv_bits else None
            plain = {"bits": offer.bits, "scheme": offer.scheme, "kv_bits": kept, **chosen}
            return Quantization.model_validate(plain)
    raise UnsupportedError(
        f"{who.engine} has no {who.draft_bits} bits on {who.device} for a student that drafts"
    )


def _link(source: Path, out: Path) -> None:
    """Give the files of an entry a second name: entries never change, and a copy would take the room again."""
    for path in sorted(p for p in source.rglob("*") if p.is_file() and p.name != "entry.json"):
        target = out / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, target)
