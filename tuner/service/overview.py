"""Overview: which workers there are, where every study stands, and what waits for a worker that is not there.

For `tuner status`, `tuner list` and whoever else shows it. It is read by grouped queries and from the studies' stored
summaries: hundreds of studies with thousands of trials are there at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tuner.metrics import LOSS
from tuner.service.budget import Spent
from tuner.service.lacking import lacking
from tuner.service.lines import OPEN, Note, Overview, StudyLine, WorkerLine, WorkerState
from tuner.spec.model import Budget
from tuner.store import Store, Worker
from tuner.store.glance import Running, Standing
from tuner.store.leases import lease_seconds
from tuner.store.models import MEASURED

__all__ = ["OPEN", "Note", "Overview", "StudyLine", "WorkerLine", "read_overview", "state_of"]


def read_overview(store: Store) -> Overview:
    """Return where everything stands."""
    standings, tallies, workers = store.standings(), store.tallies(), store.workers()
    standings = [_summed_up(store, each, tallies.get(each.id, {})) for each in standings]
    spent = _spent(store, standings, tallies)
    studies = [_study(s, tallies.get(s.id, {}), spent[s.id]) for s in standings]
    alive = [worker for worker in workers if state_of(worker) == "alive"]
    running = store.running()
    return Overview(
        tuple(_worker(worker, running, standings) for worker in workers),
        tuple(studies),
        tuple(lacking(standings, store.waiting(), alive)),
    )


def state_of(worker: Worker) -> WorkerState:
    """Say whether a worker is there: its beat is newer than a lease is long, and it has not left."""
    if worker.stopped_at is not None:
        return "gone"
    return "alive" if worker.silent_s < lease_seconds() else "lost"


def _worker(worker: Worker, running: Iterable[Running], studies: Iterable[Standing]) -> WorkerLine:
    names, having, state = {study.id: study.name for study in studies}, worker.capabilities, state_of(worker)
    engines = {
        f"{engine}@{offer['device']}" for engine, offer in having.get("offers", ()) if offer["available"]
    }
    trials = ((names.get(r.study_id, "?"), r.trial) for r in running if r.worker == worker.name)
    return WorkerLine(
        name=worker.name,
        state=state,
        host=having.get("host") or (None if worker.host is None else worker.host.name),
        pid=worker.pid,
        cores=int(having.get("cores", 0)),
        engines=tuple(sorted(engines)),
        labels=having.get("labels", {}),
        trials=tuple(trials),
        coordinates=tuple(study.name for study in studies if study.coordinator == worker.name),
        silent_s=worker.silent_s,
        started=worker.started_at,
    )


def _study(study: Standing, tally: Mapping[str, int], spent: Spent) -> StudyLine:
    best, total = study.summary.get("best") or {}, _budget(study).trials
    return StudyLine(
        id=study.id,
        name=study.name,
        state=study.state,
        objectives=tuple(study.spec["objectives"]),
        tags=tuple(study.spec.get("tags", ())),
        done=spent.candidates,
        total=total,
        queued=tally.get("queued", 0),
        running=tally.get("running", 0),
        measured=tally.get("complete", 0),
        failed=tally.get("failed", 0) + tally.get("pruned", 0),
        repeated=tally.get("repeated", 0),
        cancelled=tally.get("cancelled", 0),
        on_front=len(study.summary.get("front", ())),
        confirmed=bool(study.summary.get("confirmed")),
        best_speedup=best.get("speedup"),
        metric=study.spec["metric"],
        loss=best.get(LOSS[study.spec["metric"]]),
        hypervolume=study.summary.get("hypervolume"),
        seconds_left=_left(study, spent),
        baseline_ms=study.summary.get("baseline_ms"),
        coordinator=study.coordinator,
        host=study.host,
        updated=study.updated_at,
    )


def _spent(
    store: Store, studies: Iterable[Standing], tallies: Mapping[str, Mapping[str, int]]
) -> dict[str, Spent]:
    """Return what each study's coordinator wrote down at its last look; before the first, what its trials say."""
    kept = {study.id: Spent.kept(study.summary) for study in studies}
    measured = {found for found, tally in tallies.items() if any(tally.get(state) for state in MEASURED)}
    spans = store.spans_of([found for found, spent in kept.items() if spent is None and found in measured])
    return {found: spent or Spent.of(spans.get(found, [])) for found, spent in kept.items()}


def _left(study: Standing, spent: Spent) -> float | None:
    return spent.seconds_left(_budget(study)) if study.state == "running" and spent.candidates else None


def _budget(study: Standing) -> Budget:
    return Budget.model_validate(study.spec["budget"])


def _summed_up(store: Store, study: Standing, tally: Mapping[str, int]) -> Standing:
    """Return a study with its summary; one that an earlier tuner left without is read, this one time."""
    if study.summary or study.state in OPEN or not tally.get("complete"):
        return study
    from tuner.service.summary import summarise

    stored = store.get_study(study.name)
    summary = summarise(stored, store.trials(stored, ("complete",)), store.spans(stored))
    store.keep_summary(stored, summary)
    return replace(study, summary=summary)
