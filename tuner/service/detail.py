"""Detail: all that is known of one trial, for a screen: raw samples, confusion, artefact, and how to do it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tuner.candidate import Candidate
from tuner.errors import NotFoundError
from tuner.service.points import baseline_of
from tuner.store import Store, tuner_home
from tuner.store.records import Artefact, Measurement, Trial

_MOST = 20_000  # samples that are handed out: a histogram needs no more


@dataclass(frozen=True)
class Samples:
    """Latencies of one measurement in ms per call, and the reference's beside them, in the order they were taken."""

    own: tuple[float, ...]
    reference: tuple[float, ...]
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class Detail:
    """One trial. `changes` are field, baseline's value, own value; confusions have a row for each truth."""

    trial: Trial
    changes: list[tuple[str, Any, Any]]
    search: Samples | None
    confirmed: Samples | None
    confusion: list[list[int]] | None
    confirmed_confusion: list[list[int]] | None
    labels: list[str]
    artefact: Artefact | None
    command: str


def detail(store: Store, study_name: str, number: int) -> Detail:
    """Return all of a trial.

    Raises:
        NotFoundError: there is no such study or trial.
    """
    study = store.get_study(study_name)
    trial = store.trial(study, number)
    found = store.measurements(trial.id)
    own = baseline_of(study, store.trial(study, number).candidate.backend.host)
    base = None if own is None else store.find_trial(study, own)
    artefact = None
    if trial.artefact_key:
        with suppress(NotFoundError):
            artefact = store.artefact(trial.artefact_key)
    confusions = {m.kind: m.summary["confusion"] for m in found if m.summary.get("confusion")}
    width = len(next(iter(confusions.values()), []))
    return Detail(
        trial=trial,
        changes=[] if base is None else _changes(trial, base),
        search=_samples(found, "performance"),
        confirmed=_samples(found, "confirm"),
        confusion=confusions.get("quality"),
        confirmed_confusion=confusions.get("confirm"),
        labels=_labels(study.spec, trial.artefact_key, width),
        artefact=artefact,
        command=command(study_name, trial),
    )


def _samples(found: list[Measurement], kind: str) -> Samples | None:
    for m in found:
        if m.kind == kind and m.samples:
            return Samples(m.samples[:_MOST], (m.reference_samples or ())[:_MOST], m.summary)
    return None


def _changes(trial: Trial, base: Trial) -> list[tuple[str, Any, Any]]:
    found = trial.candidate.differences(base.candidate)
    return [(name, before, own) for (_, name), (before, own) in found.items()]


def _labels(spec: Mapping[str, Any], key: str | None, width: int) -> list[str]:
    """Return the classes' names: from the data that the artefact was made for, where this host has it; else numbers."""
    with suppress(OSError, ValueError, KeyError, StopIteration):
        cache = tuner_home() / "cache"
        entry = next(iter(cache.glob(f"build/{key}/entry.json")))
        data = str(json.loads(entry.read_text())["parts"]["data"])
        names = [str(n) for n in json.loads((cache / "data" / data / "meta.json").read_text())["labels"]]
        if len(names) == width:
            return names
    classes = sorted(spec["data"].get("classes") or [])
    return classes if len(classes) == width else [f"class {i}" for i in range(width)]


def command(study_name: str, trial: Trial) -> str:
    """Return a command that measures this one candidate again, as a study of its own, from the study's file."""
    c = trial.candidate
    q = c.quantization
    settings: dict[str, Any] = {
        "name": f"{study_name}-trial-{trial.number}"[:100],
        "axes.distillation.student_layers": [c.distillation.student_layers],
        "axes.pruning.heads": [c.pruning.heads],
        "axes.pruning.ffn": [c.pruning.ffn],
        "axes.quantization.bits": [q.bits],
        "axes.parallel.threads": [c.parallel.threads],
        "axes.parallel.replicas": [c.parallel.replicas],
        "axes.backend.engines": [c.backend.engine],
        "axes.backend.fixed_shape": [c.backend.fixed_shape],
    }
    if c.parallel.ranks > 1:
        settings["axes.parallel.tensor"] = [c.parallel.tensor]
        settings["axes.parallel.pipeline"] = [c.parallel.pipeline]
    if q.scheme in ("dynamic", "static"):
        settings["axes.quantization.schemes"] = [q.scheme]
    if q.group_size:
        settings["axes.quantization.group_size"] = [q.group_size]
    if q.method:
        settings["axes.quantization.methods"] = [q.method]
    if q.kv_bits:
        settings["axes.quantization.kv_bits"] = [q.kv_bits]
    settings |= _run_settings(c)
    lines = [f"--set {shlex.quote(f'{name}={json.dumps(value)}')}" for name, value in settings.items()]
    return " \\\n  ".join([f"tuner run {shlex.quote(study_name + '.yaml')} --trials 2", *lines])


def _run_settings(c: Candidate) -> dict[str, Any]:
    """Return the settings that not every study has, of how the artefact is run."""
    run, who = c.parallel, c.backend
    found: dict[str, Any] = {"axes.parallel.slots": [run.slots]} if run.slots > 1 else {}
    names = ("draft", "draft_layers", "draft_ffn", "draft_bits")
    chosen = {name: value for name, value in zip(names, who.drafting, strict=True) if value is not None}
    chosen |= {} if who.host is None else {"hosts": who.host}
    return found | {f"axes.backend.{name}": [value] for name, value in chosen.items()}
