"""Our own tool in the comparison: `tuner run` of the study file in a home of its own, and its confirmed front.

Like the peers it is handed the fine-tuned model and the encoded texts: those stages are copied into the new home. The
search ends early enough for the confirmation of the front to end within the same minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.running import Outcome, run_limited
from benchmarks.peers.subjects import Subject
from tuner.service.api import load
from tuner.service.handle import StudyHandle
from tuner.spec.model import StudySpec

NAME = "tuner"
CONFIRMATION = 2.0  # minutes kept for the trial at hand and the front's confirmation
_PREPARED = ("documents", "tokenizer", "source", "data", "fine-tune", "describe")


def run_ours(
    study: Path, settings: Sequence[str], minutes: float, prepared: Path, home: Path, log: Path
) -> Outcome:
    """Run the study in `home`, which is made anew, with what `prepared` (another home) holds of model and data."""
    shutil.rmtree(home, ignore_errors=True)
    for stage in _PREPARED:
        if (prepared / "cache" / stage).exists():
            shutil.copytree(prepared / "cache" / stage, home / "cache" / stage)
    search = max(minutes - CONFIRMATION, minutes / 2)
    options = [f"--set={one}" for one in (*settings, f"budget.minutes={search:g}", "seed=0")]
    environment = {k: v for k, v in os.environ.items() if k != "TUNER_DB"} | {"TUNER_HOME": str(home)}
    return run_limited(
        [sys.executable, "-m", "tuner.cli.main", "run", str(study), *options], log, 60 * minutes, environment
    )


def our_subjects(spec: StudySpec, given: Path) -> list[Subject]:
    """Return the confirmed front of the study in a home, or the one artefact of an exported bundle."""
    if (given / "bundle.json").exists():
        return [_bundled(given)]
    study = load(spec.name, f"sqlite:///{given / 'tuner.db'}")
    return [_from_trial(study, row.number, given) for row in study.front_rows()]


def _from_trial(study: StudyHandle, number: int, home: Path) -> Subject:
    trial = study.pick(trial=number).trial
    parallel = trial.candidate.parallel
    artefact = home / "cache" / "build" / str(trial.artefact_key)
    own = {name: e.value for name in ("accuracy", "latency_ms") if (e := study.row(number).estimate(name))}
    return Subject(NAME, trial.candidate.label(), artefact, parallel.threads, parallel.replicas, own)


def _bundled(bundle: Path) -> Subject:
    threads = json.loads((bundle / "bundle.json").read_text())["threads"]
    return Subject(NAME, f"bundle {bundle.name}", bundle / "artefact", threads, 1, {})
