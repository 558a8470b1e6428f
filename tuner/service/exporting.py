"""Export and verify: from a stored trial to a bundle, and from a bundle back to measured claims."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.export.bundle import BundleContent, check_target, write_bundle
from tuner.hardware import this_host
from tuner.pipeline.cache import Cache
from tuner.pipeline.evaluate import build_candidate
from tuner.pipeline.jobs import Jobs
from tuner.pipeline.prepare import Prepared, prepare
from tuner.pipeline.workshop import Workshop, job_limits
from tuner.spec.model import StudySpec
from tuner.store import tuner_home

if TYPE_CHECKING:
    from tuner.service.handle import TrialHandle


def export_trial(chosen: TrialHandle, target: Path) -> Path:
    """Write the trial's bundle, built from the cache (or again, where the cache was cleared).

    Raises:
        InputError: the target is not empty or cannot be written.
        TunerError: the disk is full; what building raises.
    """
    check_target(target)
    spec = StudySpec.model_validate(dict(chosen.study.spec))
    host, home = this_host(), tuner_home()
    with Jobs(job_limits(spec.limits, host), home / "jobs") as jobs:
        shop = Workshop(spec, Cache(home / "cache"), jobs, host)
        ready = prepare(shop)
        artefact = build_candidate(shop, ready, chosen.trial.candidate)
    return write_bundle(_content(chosen, ready, artefact.path), target)


def _content(chosen: TrialHandle, ready: Prepared, artefact: Path) -> BundleContent:
    meta = json.loads((ready.data.path / "meta.json").read_text())
    return BundleContent(
        artefact=artefact,
        tokenizer=ready.teacher.path,
        labels=ready.labels,
        pad_token_id=int(meta["pad_token_id"]),
        candidate=chosen.trial.candidate,
        report=report(chosen),
        tokenizers_version=importlib.metadata.version("tokenizers"),
    )


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
