"""Points: stored trials as the front sees them, all on the clock of the host that measured them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tuner.candidate import Candidate, baseline, baseline_device
from tuner.metrics import Metrics
from tuner.pipeline.metrics import on_clock
from tuner.search.front import Point, front
from tuner.search.front import standings as stand
from tuner.search.objective import is_feasible
from tuner.search.standing import Standing
from tuner.spec.constraint import parse_constraint
from tuner.store.records import Study, Trial


def search_metrics(study: Study, trial: Trial) -> Metrics:
    """Return what the search measured of a trial."""
    return on_clock(trial.metrics, trial.ratio, study.clock(trial.host))


def confirmed_metrics(study: Study, trial: Trial) -> Metrics | None:
    """Return what the confirmation measured of a trial, or None."""
    if trial.confirmed is None:
        return None
    return on_clock(trial.confirmed, trial.confirmed_ratio, study.clock(trial.host))


def feasible(study: Study, metrics: Metrics) -> bool:
    """Say whether metrics meet all constraints of the study."""
    return is_feasible([parse_constraint(text) for text in study.spec["constraints"]], metrics)


def is_baseline(study: Study, candidate: Candidate) -> bool:
    """Say whether a candidate is what its study is held against; where hosts are named, on its own host.

    That is the whole model in fp32 PyTorch eager, on the study's own device and all of its host's cores: neither a
    shallower student, nor the same on fewer cores or on another device, which the search may try as well.
    """
    return candidate == baseline_of(study, candidate.backend.host)


def baseline_of(study: Study, host: str | None = None) -> Candidate | None:
    """Return what a study is held against, on a host where those are named; None before it was prepared."""
    meta = study.meta if host is None else (study.meta.get("hosts") or {}).get(host, {})
    if not study.meta.get("anatomy") or "cores" not in meta:
        return None
    device = baseline_device(
        study.spec["axes"]["backend"]["devices"], ("cpu", "cuda") if host is None else _has(meta)
    )
    return baseline(int(study.meta["anatomy"]["layers"]), int(meta["cores"]), device).on(host)


def _has(meta: Mapping[str, Any]) -> set[str]:
    """Return the devices on which PyTorch runs on a host."""
    return {o["device"] for engine, o in meta["offers"] if engine == "torch" and o["available"]}


def search_points(study: Study, trials: Iterable[Trial]) -> list[Point]:
    """Return the completed trials as points of the search."""
    measured = [(t, search_metrics(study, t)) for t in _kept(trials)]
    return [Point(t.number, t.candidate, m, feasible(study, m), host=_host(t)) for t, m in measured]


def shown_points(study: Study, trials: Iterable[Trial]) -> list[Point]:
    """Return the points of the front that is shown: the confirmed ones, or before that those of the search."""
    kept = _kept(trials)
    confirmed = [(t, m) for t in kept if (m := confirmed_metrics(study, t)) is not None]
    if not confirmed:
        return search_points(study, kept)
    return [Point(t.number, t.candidate, m, feasible(study, m), True, _host(t)) for t, m in confirmed]


def fronts(study: Study, points: Sequence[Point]) -> list[Point]:
    """Return the study's front; one for each host, after one another, unless hardware is part of the choice.

    Latencies of two hosts are no choice that a user of one of them has.
    """
    return [p for part in _apart(study, points) for p in front(part, study.spec["objectives"])]


def standings(study: Study, trials: Sequence[Trial]) -> dict[int, Standing]:
    """Return by number how each feasible trial stands: on the front that is shown, tied with it or dominated.

    Once the front was confirmed, the others are held against what the search measured of all, as `confirm.finalists`
    does: tied is who another confirmation would measure, for it may bring them to the front.
    """
    objectives, points = study.spec["objectives"], shown_points(study, trials)
    found = {n: s for part in _apart(study, points) for n, s in stand(part, objectives).items()}
    if not any(point.confirmed for point in points):
        return found
    parts, shown = _apart(study, search_points(study, trials)), {point.trial for point in points}
    before = {n: s for part in parts for n, s in stand(part, objectives).items() if n not in shown}
    return {n: replace(s, word="tied") if s.word == "front" else s for n, s in before.items()} | found


def _apart(study: Study, points: Sequence[Point]) -> list[list[Point]]:
    """Return the points whose latencies may be held against each other, one list for each front."""
    if study.spec.get("hosts") == "choice":
        return [list(points)]
    return [[p for p in points if p.host == host] for host in sorted({p.host for p in points})]


def _kept(trials: Iterable[Trial]) -> list[Trial]:
    return [t for t in trials if t.state == "complete" and t.discarded_at is None]


def _host(trial: Trial) -> str:
    return "" if trial.host is None else trial.host.fingerprint
