"""Verify: a bundle's files against its manifest, and its numbers against a new measurement."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tuner.candidate import Candidate
from tuner.errors import InputError, NotFoundError, TunerError
from tuner.export.kinds import CHAT, CLASSIFIER
from tuner.export.manifest import NAME, check_manifest
from tuner.export.programs import run_program
from tuner.hardware import this_host
from tuner.measure.client import Serving, run_blocks
from tuner.metrics import LOADED, METRICS, QUALITY, Estimate
from tuner.pipeline.bench import Bench
from tuner.pipeline.cache import Cache, Entry
from tuner.pipeline.jobs import Jobs
from tuner.pipeline.metrics import trial_metrics
from tuner.pipeline.prepare import Prepared, prepare
from tuner.pipeline.workshop import Workshop, job_limits
from tuner.service.verifying_chat import check_answers
from tuner.spec.model import StudySpec
from tuner.store import tuner_home
from tuner.tasks.quality import evaluate

#: Two byte-identical artefacts differ by up to this in the ratio on a shared machine.
NOISE = 0.10
_TIMES = ("speedup", "latency_ms", "throughput", "ttft_ms", "tpot_ms", "itl_p99_ms", "tokens_per_s")
_BUSY = 1.5  # times the baseline's own clock: beyond it, others compute so much that no time can be judged


def verify_bundle(bundle: Path) -> dict[str, Any]:
    """Return `{"bundle", "files": [what is wrong], "claims": [...], "notes": [...], "ok": bool}`.

    A classifier's accuracy is that of the bundle's own `predict.py` on the study's test split; a chat model's greedy
    tokens must be those of the export (`check_answers`). Times are measured again beside the study's baseline. Accuracy
    and times need the study's cache; without it only files and answers are checked, and it says so.

    Raises:
        NotFoundError: there is no bundle.
        InputError: the bundle's report cannot be read.
    """
    bundle = Path(bundle)
    if not (bundle / NAME).is_file():
        raise NotFoundError(f"{bundle}: no bundle there (it has no {NAME})")
    files = check_manifest(bundle)
    if files:
        return {
            "bundle": str(bundle),
            "files": files,
            "claims": [],
            "notes": ["not run: its files changed"],
            "ok": False,
        }
    measured = _chat if kind_of(bundle) == CHAT.name else _classifier
    claims, notes = measured(bundle, _report(bundle))
    return {
        "bundle": str(bundle),
        "files": [],
        "claims": claims,
        "notes": notes,
        "ok": all(c["holds"] is not False for c in claims),
    }


def kind_of(bundle: Path) -> str:
    """Return the name of a bundle's kind; bundles from before there were kinds are classifiers.

    Raises:
        InputError: its bundle.json cannot be read.
    """
    try:
        return str(json.loads((bundle / "bundle.json").read_text()).get("kind", CLASSIFIER.name))
    except (ValueError, OSError) as error:
        raise InputError(f"{bundle / 'bundle.json'}: cannot be read: {error}") from None


def _report(bundle: Path) -> dict[str, Any]:
    try:
        found = json.loads((bundle / "report.json").read_text())
        StudySpec.model_validate(found["spec"])
        return dict(found)
    except (ValueError, KeyError, OSError) as error:
        raise InputError(f"{bundle / 'report.json'}: cannot be read: {str(error).splitlines()[0]}") from None


def _classifier(bundle: Path, report: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return claims and notes of a classifier; without the cache, that it answers."""
    try:
        return _measured(bundle, report, lambda ready: _accuracy(bundle, ready))
    except TunerError as error:
        answer = answers_of(bundle, ["one line to see that it answers"])
        raw = f"raw latency, beside no reference: {_raw_latency_ms(bundle, report):.3g} ms (judges no claim)"
        return [], [f"claims not measured again: {error}", f"it answers: {answer[0]}", raw]


def _chat(bundle: Path, report: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return claims and notes of a chat model; without the cache, the time of an answer beside no baseline."""
    tokens, raw_time, told = check_answers(bundle, report)
    try:
        timed, notes = _measured(bundle, report, lambda ready: {})
    except TunerError as error:
        note = f"times not measured beside the baseline: {error}; the time of an answer is shown, not judged"
        return [tokens, raw_time], [*told, note]
    return [tokens, *timed], list(dict.fromkeys([*told, *notes]))


def _measured(
    bundle: Path, report: Mapping[str, Any], quality: Callable[[Prepared], Mapping[str, Estimate]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return claims about quality and time, and notes.

    Raises:
        TunerError: the study's cache does not hold what it takes.
    """
    spec = StudySpec.model_validate(report["spec"])
    host, home = this_host(), tuner_home()
    with Jobs(job_limits(spec.limits, host), home / "jobs") as jobs:
        shop = Workshop(spec, Cache(home / "cache", frozen=True), jobs, host)
        ready = prepare(shop)
        with Bench(shop, ready) as bench:
            timed, clock_ms = _latency(bundle, report, bench)
            found = {**quality(ready), **timed}
    same = host.fingerprint == report["host"].get("fingerprint")
    notes = [] if same else ["measured on another host than claimed"]
    busy = same and clock_ms > _BUSY * (report["baseline_ms"] or clock_ms)
    if busy:
        notes.append(
            f"this machine is busy: the baseline takes {clock_ms:.3g} ms, and took {report['baseline_ms']:.3g} ms when "
            "the claims were measured; times are shown and not judged"
        )
    claims = [_claim(name, report["metrics"].get(name), value) for name, value in found.items()]
    return [{**c, "holds": None} if busy and c["metric"] in (*_TIMES, *LOADED) else c for c in claims], notes


def _accuracy(bundle: Path, ready: Prepared) -> dict[str, Estimate]:
    """Return accuracy and macro F1 of the bundle's own program on the test texts."""
    with (ready.data.path / "test_texts.jsonl").open(encoding="utf-8") as stored:
        lines = [json.loads(line) for line in stored]
    # One line of stdin is one text: line breaks inside a text are white space to the tokenizer anyway.
    found = answers_of(bundle, [" ".join(line["text"].split()) for line in lines])
    index = {label: i for i, label in enumerate(ready.labels)}
    predicted = np.array([index[answer["label"]] for answer in found])
    truth = np.array([index[line["label"]] for line in lines])
    return evaluate(np.eye(len(index))[predicted], truth)


def answers_of(bundle: Path, texts: list[str]) -> list[dict[str, Any]]:
    """Return what `predict.py --json` of a bundle answers, run with this Python.

    Raises:
        TunerError: it fails.
    """
    command = [sys.executable, str(bundle.resolve() / "predict.py"), "--json"]
    answered = run_program(command, f"{bundle}/predict.py", "\n".join(texts))
    return [json.loads(line) for line in answered.splitlines()]


def _latency(
    bundle: Path, report: Mapping[str, Any], bench: Bench
) -> tuple[dict[str, Estimate | None], float]:
    """Return the metrics that need a clock, or a process, and what the baseline took beside them, in ms."""
    entry = Entry("bundle", "bundle", bundle / "artefact", hit=True, seconds=0.0)
    performance = bench.together([(entry, Candidate.model_validate(report["candidate"]))])[0].to_json()
    found = trial_metrics(performance, {}, report["baseline_ms"] or performance["reference_ms"])
    return {n: found[n] for n in (*_TIMES, *LOADED, "memory_mb", "size_mb") if n in found}, float(
        performance["reference_ms"]
    )


def _raw_latency_ms(bundle: Path, report: Mapping[str, Any]) -> float:
    """Return the median of one second of calls, in ms, as this machine is at the moment."""
    spec, candidate = StudySpec.model_validate(report["spec"]), Candidate.model_validate(report["candidate"])
    length, cores = spec.scenario.sequence_length, this_host().cores
    shape = (spec.scenario.batch, spec.model.max_length if length == "data" else length)
    names = ("input_ids", "attention_mask")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan.npz"
        arrays: dict[str, Any] = {f"{name}.0": np.ones(shape, dtype=np.int64) for name in names}
        np.savez(file, **arrays)
        threads = min(candidate.parallel.threads, len(cores))
        with Serving(bundle / "artefact", threads, cores[:threads]) as serving:
            serving.plan(file)
            run_blocks([serving], 0.3, 2)  # warm-up
            return statistics.median(run_blocks([serving], 1.0, 5).samples)


def _claim(name: str, claimed: Mapping[str, float] | None, measured: Estimate | None) -> dict[str, Any]:
    """Return one claim and if it holds: not worse than claimed, give or take a shared machine's noise."""
    holds = True
    if claimed is not None and measured is not None:
        direction = METRICS[name][1]
        margin = 0.0 if name in QUALITY else NOISE
        if direction == "maximize":
            holds = measured.high >= claimed["low"] * (1 - margin)
        else:
            holds = measured.low <= claimed["high"] * (1 + margin)
    plain = None if measured is None else measured.model_dump()
    return {"metric": name, "claimed": claimed, "measured": plain, "holds": holds}
