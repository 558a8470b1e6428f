"""Earlier: what other studies of the same database measured of such a model on such hardware."""

from __future__ import annotations

from collections.abc import Iterator

from tuner.search.aware.history import Seen
from tuner.service.points import is_baseline, search_metrics
from tuner.spec.model import StudySpec
from tuner.spec.scenario import Scenario
from tuner.store import Store
from tuner.store.records import Study, Trial

_MOST = 300  # trials of earlier studies: the latest ones; all that is read is thought about at each proposal
_KIN = (
    "layers",
    "heads",
    "ffn",
    "hidden",
)  # of an anatomy: another training of such a model has the same latencies


def earlier_trials(store: Store, study: Study, spec: StudySpec) -> list[Seen]:
    """Return the complete trials of kindred studies, the latest study first, each beside its own study's baseline.

    Kindred are studies of a model with the same anatomy, asked in the same way, and measured on the same hardware.
    """
    found: list[Seen] = []
    host = None if study.host is None else study.host.fingerprint
    for other in store.list_studies():
        if other.id != study.id and _kindred(study, spec, other):
            found += _seen(other, [t for t in store.ended_trials(other) if _of(t, host)])
        if len(found) >= _MOST:
            break
    return found[:_MOST]


def _kindred(study: Study, spec: StudySpec, other: Study) -> bool:
    mine, theirs = study.meta.get("anatomy") or {}, other.meta.get("anatomy") or {}
    return (
        bool(theirs)
        and spec.task == other.spec.get("task", "text-classification")
        and all(mine.get(name) == theirs.get(name) for name in _KIN)
        and spec.scenario == Scenario.model_validate(other.spec["scenario"])
        and study.host is not None
        and study.host.fingerprint in other.clocks
    )


def _seen(other: Study, trials: list[Trial]) -> Iterator[Seen]:
    base = next((t for t in trials if is_baseline(other, t.candidate)), None)
    if base is None:
        return
    against = search_metrics(other, base)
    for trial in trials:
        yield Seen(trial.candidate, "complete", search_metrics(other, trial), against=against)


def _of(trial: Trial, host: str | None) -> bool:
    return trial.discarded_at is None and trial.host is not None and trial.host.fingerprint == host
