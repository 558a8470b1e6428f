"""Export and verify: from a stored trial to a bundle, and from a bundle back to measured claims."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuner.candidate import Candidate
from tuner.export.bundle import BundleContent, check_target, write_bundle
from tuner.export.kinds import CHAT, kind_of_task
from tuner.export.programs import run_program
from tuner.hardware import this_host
from tuner.pipeline.cache import Cache
from tuner.pipeline.evaluate import build_candidate
from tuner.pipeline.jobs import Jobs
from tuner.pipeline.prepare import prepare
from tuner.pipeline.workshop import Workshop, job_limits
from tuner.spec.model import StudySpec
from tuner.store import tuner_home

if TYPE_CHECKING:
    from tuner.service.handle import TrialHandle

#: Subject of the README, facts of bundle.json, further JSON files by name.
_Parts = tuple[str, dict[str, Any], dict[str, Any]]
_CHECKED = 3  # prompts whose greedy answers a chat bundle carries


@dataclass(frozen=True)
class Sources:
    """Directories of the cache that a bundle is made from."""

    artefact: Path
    data: Path
    checkpoint: Path


def export_trial(chosen: TrialHandle, target: Path) -> Path:
    """Write the trial's bundle from the artefact that was measured; built again where the cache was cleared.

    Raises:
        InputError: the target is not empty or cannot be written.
        TunerError: the disk is full; what building raises.
    """
    check_target(target)
    measured = measured_sources(tuner_home() / "cache", chosen.trial.artefact_key)
    found = measured or _built_again(chosen)
    return write_bundle(_content(chosen, found, rebuilt=measured is None), target)


def measured_sources(cache: Path, key: str | None) -> Sources | None:
    """Return where the measured artefact, its data and its checkpoint lie, None if one of them is gone.

    The entry itself names them. Asking the stages instead would build another artefact, under the old one's
    numbers, whenever the code or a library had changed since.
    """
    entry = cache / "build" / str(key) / "entry.json"
    if key is None or not entry.exists():
        return None
    parts = json.loads(entry.read_text())["parts"]
    data = cache / "data" / str(parts["data"])
    checkpoints = [p.parent for p in cache.glob(f"*/{parts['checkpoint']}/tokenizer.json")]
    if not checkpoints or not (data / "meta.json").exists():
        return None
    return Sources(entry.parent, data, checkpoints[0])


def _built_again(chosen: TrialHandle) -> Sources:
    spec = StudySpec.model_validate(dict(chosen.study.spec))
    host, home = this_host(), tuner_home()
    with Jobs(job_limits(spec.limits, host), home / "jobs") as jobs:
        shop = Workshop(spec, Cache(home / "cache"), jobs, host)
        ready = prepare(shop)
        artefact = build_candidate(shop, ready, chosen.trial.candidate)
    return Sources(artefact.path, ready.data.path, ready.teacher.path)


def _content(chosen: TrialHandle, found: Sources, rebuilt: bool) -> BundleContent:
    said = {**report(chosen), "rebuilt": rebuilt}
    return content_of(found, chosen.trial.candidate, chosen.study.spec, said)


def content_of(
    found: Sources, candidate: Candidate, spec: Mapping[str, Any], report: Mapping[str, Any]
) -> BundleContent:
    """Return what goes into the bundle of an artefact, by the task of its study's spec.

    Raises:
        InputError: there are no bundles for the task.
        TunerError: a language model's artefact does not answer.
    """
    kind = kind_of_task(spec.get("task", "text-classification"))
    meta = json.loads((found.data / "meta.json").read_text())
    subject, facts, more = (_chat if kind is CHAT else _classifier)(found, candidate, spec, meta)
    return BundleContent(kind, found.artefact, found.checkpoint, candidate, report, subject, facts, more)


def _classifier(
    found: Sources, candidate: Candidate, spec: Mapping[str, Any], meta: Mapping[str, Any]
) -> _Parts:
    """Return what a classifier is, what its program must know, and its labels."""
    labels = list(meta["labels"])
    facts = {
        "pad_token_id": int(meta["pad_token_id"]),
        "max_length": json.loads((found.artefact / "artefact.json").read_text())["max_length"],
        "batch": int(spec["scenario"]["batch"]),
    }
    return f"A text classifier ({', '.join(labels)})", facts, {"labels.json": labels}


def _chat(found: Sources, candidate: Candidate, spec: Mapping[str, Any], meta: Mapping[str, Any]) -> _Parts:
    """Return what a language model is, what its program must know, and how it answers today."""
    with np.load(found.data / "prompts.npz") as stored:
        prompts, timed = stored["test"][:_CHECKED].tolist(), stored["measure"][0].tolist()
    wanted = {
        "prompts": [{"prompt": prompt} for prompt in prompts],
        "timed": {"prompt": timed, "new_tokens": int(spec["scenario"]["new_tokens"])},
    }
    answered = answers_of_artefact(found.artefact, candidate, wanted)
    facts = {
        "context": answered["context"],
        "stop_token_ids": list(meta["stop_token_ids"]),
        "generation": dict(meta["generation"]),
    }
    subject = "A chat model" if meta["chat"] else "A language model without a chat template"
    return subject, facts, {"check.json": {**wanted, "prompts": answered["prompts"]}}


def answers_of_artefact(artefact: Path, candidate: Candidate, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return how an artefact answers check prompts, in a process of its own (see `tuner/runtime/checking.py`).

    Raises:
        TunerError: it fails.
    """
    command = [sys.executable, "-m", "tuner.runtime.checking", str(artefact), str(candidate.parallel.threads)]
    command += [candidate.backend.draft] if candidate.backend.draft else []
    said = run_program(command, f"{artefact}: the artefact", json.dumps(wanted))
    return dict(json.loads(said.splitlines()[-1]))  # engines may print before


def report(chosen: TrialHandle) -> dict[str, Any]:
    """Return what a bundle says of itself: confirmed metrics where there are any, and the search's."""
    row, study = chosen.row, chosen.study
    plain = {
        "search": {k: None if v is None else v.model_dump() for k, v in row.metrics.items()},
        "confirmed": None
        if row.confirmed is None
        else {k: v and v.model_dump() for k, v in row.confirmed.items()},
    }
    return {
        "study": study.name,
        "trial": row.number,
        "candidate": row.candidate.canonical(),
        "confirmed": row.confirmed is not None,
        "metrics": plain["confirmed"] or plain["search"],
        "search_metrics": plain["search"],
        "baseline_ms": study.baseline_ms,
        "scenario": study.spec["scenario"],
        "host": study.host,
        "spec": dict(study.spec),
        "tuner": importlib.metadata.version("tuner"),
    }
