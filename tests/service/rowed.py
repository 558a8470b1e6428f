"""Studies, trials and workers put into a database row by row, for what only reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from tests.store.claims import claim
from tuner.backends.base import Offer
from tuner.candidate import Backend, Candidate, Distillation, Quantization, baseline
from tuner.hardware import Host, this_host
from tuner.metrics import Estimate
from tuner.service.requires import capabilities, required
from tuner.spec.model import StudySpec
from tuner.store import Store, Study, Trial, Worker
from tuner.store.models import TrialRow, WorkerRow

ANATOMY = {"layers": 6, "heads": 12, "ffn": 1536, "hidden": 384, "refused": {}}
TORCH = ("torch", Offer("cpu", 32))
OPENVINO = ("openvino", Offer("cpu", 8, "static"))
BOTH = (TORCH, OPENVINO)
BASE_MS = 40.0


def spec(name: str = "s", **changes: object) -> StudySpec:
    """Return a small valid study."""
    plain = {
        "name": name,
        "model": {"source": "somebody/something"},
        "data": {"source": "somebody/texts"},
        "constraints": ["accuracy_drop <= 0.02"],
        "budget": {"trials": 6},
        **changes,
    }
    return StudySpec.model_validate(plain)


def stored(store: Store, wanted: StudySpec | None = None, state: str = "running") -> Study:
    """Store a study as it is after it was prepared, held by nobody."""
    meta = {"anatomy": ANATOMY, "cores": 2}
    study = store.create_study((wanted or spec()).to_plain(), this_host(), meta=meta)
    return store.set_study_state(study, state)


def candidate(layers: int, engine: str = "openvino") -> Candidate:
    """Return an int8 student; 6 layers on torch is the baseline."""
    if engine == "torch":
        return baseline(layers, 2)
    return Candidate(
        distillation=Distillation(student_layers=layers),
        quantization=Quantization(bits=8, scheme="static"),
        backend=Backend(engine=engine),
    )


def queue(store: Store, study: Study, found: Candidate, hardware: str | None = None) -> Trial:
    """Queue a candidate with what it requires."""
    needs = required(StudySpec.model_validate(dict(study.spec)), found, hardware)
    return store.new_trial(store.get_study(study.name), None, found, requires=needs)


def metrics(speedup: float, drop: float) -> tuple[dict[str, Estimate | None], Estimate]:
    """Return a trial's metrics and its ratio."""
    ratio = Estimate(value=1 / speedup, low=0.98 / speedup, high=1.02 / speedup)
    found: dict[str, Estimate | None] = {
        "accuracy": Estimate.exact(0.95 - drop),
        "accuracy_drop": Estimate.exact(drop),
        "latency_ms": ratio.scaled(BASE_MS),
        "speedup": Estimate.exact(speedup),
    }
    return found, ratio


def complete(store: Store, study: Study, found: Candidate, speedup: float = 1.0, drop: float = 0.0) -> Trial:
    """Store a candidate that was measured."""
    trial = claim(store, queue(store, study, found), host=this_host())
    numbers, ratio = metrics(speedup, drop)
    return store.finish_trial(trial, numbers, ratio=ratio, reference_ms=BASE_MS)


def failed(store: Store, study: Study, found: Candidate) -> Trial:
    """Store a candidate that could not be measured."""
    trial = claim(store, queue(store, study, found), host=this_host())
    return store.fail_trial(trial, "error", "it broke")


def sign_on(
    store: Store, name: str = "w", offers: tuple = BOTH, host: Host | None = None, **labels: str
) -> Worker:
    """Sign a worker on that offers these engines."""
    host = host or this_host()
    return store.sign_on(name, 4711, capabilities(host, offers, labels), host)


def silent(store: Store, name: str, seconds: float) -> None:
    """Let a worker have been heard of so long ago."""
    with Session(store.engine) as session, session.begin():
        session.execute(
            update(WorkerRow).where(WorkerRow.name == name).values(beat_at=WorkerRow.beat_at - seconds)
        )


def spans(store: Store, study: Study, *pairs: tuple[float, float]) -> None:
    """Let the study's trials, by number, have run from and to so many seconds after a fixed moment."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    with Session(store.engine) as session, session.begin():
        for number, (start, end) in enumerate(pairs):
            times = {
                "started_at": begin + timedelta(seconds=start),
                "finished_at": begin + timedelta(seconds=end),
            }
            own = (TrialRow.study_id == study.id, TrialRow.number == number)
            session.execute(update(TrialRow).where(*own).values(**times))
