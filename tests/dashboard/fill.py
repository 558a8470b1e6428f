"""Databases for the dashboard's tests: studies in every state, and one with thousands of trials."""

from __future__ import annotations

import random
import threading
import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert

from tests.service.stub import (
    ANATOMY,
    BASE_MS,
    OFFERS,
    StubPipeline,
    accuracy,
    latency_ms,
    stub_host,
    stub_study,
    stub_worker,
)
from tuner.errors import BuildError
from tuner.search.space import Space
from tuner.service.requires import plain_offers
from tuner.spec.model import StudySpec
from tuner.store import Store
from tuner.store.hosts import host_id
from tuner.store.models import StageRunRow, StudyRow, TrialRow


def ran(store, name, trials=10, fail=lambda candidate: None, once=False, host=None, **spec):
    """Store a study and run it by the stub pipeline: to its end, or with `once` for one trial."""
    study = store.create_study(stub_study(name, trials, **spec))
    worker = stub_worker(
        store, f"worker-{name}"[:90], StubPipeline(fail=fail), host, drain=not once, once=once, only=study
    )
    worker.run()
    return store.get_study(name)


def queued(store, name, **spec):
    """Store a study that nobody began."""
    return store.create_study(stub_study(name, **spec))


def begun(store, name, trials, ended):
    """Store a study and run so many of its trials."""
    study = store.create_study(stub_study(name, trials))
    for _ in range(ended):
        stub_worker(store, f"first-{name}", StubPipeline(), once=True, only=study).run()
    return store.get_study(name)


#: A reason of a failure as an attacker would write it.
HOSTILE = "<script>alert(1)</script> **bold** [link](javascript:alert(1)) :material/home: $x^2$"


def all_failed(store, name, reason=HOSTILE):
    """Run a study whose every build fails."""
    return ran(store, name, 4, lambda candidate: BuildError(reason))


def infeasible(store, name):
    """Run a study whose constraint nobody meets."""
    return ran(store, name, 6, constraints=["accuracy >= 0.999"])


def failing_engine(store, name, engine="openvino"):
    """Run a study in which one engine never works."""

    def fail(candidate):
        return BuildError("no such kernel") if candidate.backend.engine == engine else None

    return ran(store, name, 14, fail)


def two_hosts(store, name, hosts="each", trials=12, **spec):
    """Run a study by two workers on two kinds of hardware, of which one is three times as fast."""
    study = store.create_study(stub_study(name, trials, hosts=hosts, **spec))
    workers = [
        stub_worker(
            store,
            f"{host}-{name}",
            StubPipeline(0.02, slowness=slowness),
            stub_host(host),
            drain=True,
            only=study,
        )
        for host, slowness in (("fast", 1.0), ("slow", 3.0))
    ]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return store.get_study(name)


def named(*hosts):
    """Return the axes of a study that names hosts."""
    return {
        "distillation": {"student_layers": [1, 2, 3, 6]},
        "parallel": {"threads": [1, 2]},
        "backend": {"hosts": list(hosts)},
    }


def huge(store, name, trials, state="finished", seed=0):
    """Write a study of so many made-up trials straight into the tables."""
    rng, host = random.Random(seed), stub_host()
    store.record_host(host)
    axes = {
        "distillation": {"student_layers": [1, 2, 3, 4, 5, 6]},
        "pruning": {"heads": [i / 10 for i in range(10)], "ffn": [i / 20 for i in range(19)]},
        "parallel": {"threads": [1, 2]},
    }
    study = store.create_study(stub_study(name, trials, axes=axes))
    spec = StudySpec.model_validate(dict(study.spec))
    space = Space(spec.axes, ANATOMY, OFFERS, 2)
    candidates = _distinct(space, trials, rng)
    begin = datetime.now(UTC) - timedelta(seconds=20 * trials)
    rows, stages = [], []
    with store._writing() as session:
        host_row = host_id(session, host)
        for number, candidate in enumerate(candidates):
            row = _trial(study.id, host_row, number, candidate, begin + timedelta(seconds=20 * number), rng)
            rows.append(row)
            stages.append(_stage(row["id"], candidate))
        session.execute(insert(TrialRow), rows)
        session.execute(insert(StageRunRow), stages)
        owner = session.get_one(StudyRow, study.id)
        owner.state, owner.host_id, owner.clocks = state, host_row, {host.fingerprint: BASE_MS}
        owner.meta = {"anatomy": ANATOMY, "cores": 2, "offers": plain_offers(OFFERS)}
        owner.summary = {
            "history": [0.0, 0.2, 0.35, 0.4, 0.42],
            "hypervolume": 0.42,
            "front": [1],
            "best": None,
        }
    return store.get_study(name)


def _distinct(space, trials, rng):
    from tuner.candidate import baseline

    found = {baseline(6, 2).hash: baseline(6, 2)}
    while len(found) < trials:
        candidate = space.draw(rng)
        found[candidate.hash] = candidate
    return list(found.values())


def _trial(study_id, host_row, number, candidate, at, rng):
    noise = rng.gauss(0, 0.004)
    ms, right = latency_ms(candidate) * rng.uniform(0.9, 1.1), min(accuracy(candidate) + noise, 0.99)
    failed = number > 0 and rng.random() < 0.03
    values = {
        "accuracy": right,
        "accuracy_drop": 0.955 - right,
        "latency_ms": ms,
        "speedup": BASE_MS / ms,
        "throughput": 1000 / ms,
        "memory_mb": rng.uniform(60, 600),
        "size_mb": rng.uniform(2, 90),
    }
    metrics = {
        n: {"value": v, "low": v - abs(v) * 0.01, "high": v + abs(v) * 0.01} for n, v in values.items()
    }
    ratio = {"value": ms / BASE_MS, "low": 0.99 * ms / BASE_MS, "high": 1.01 * ms / BASE_MS}
    ended = (
        {"kind": "build", "reason": "no such kernel", "state": "failed"}
        if failed
        else {"kind": None, "reason": None, "state": "complete"}
    )
    return {
        "id": str(uuid.uuid4()),
        "study_id": study_id,
        "number": number,
        "candidate": candidate.canonical(),
        "hash": candidate.hash,
        "seed": False,
        "metrics": {} if failed else metrics,
        "ratio": None if failed else ratio,
        **(dict.fromkeys(values) if failed else values),
        "host_id": host_row,
        "requires": {},
        "requires_key": "none",
        "token": 1,
        "attempt": 1,
        "told": True,
        "created_at": at,
        "started_at": at,
        "finished_at": at + timedelta(seconds=18),
        **ended,
    }


def _stage(trial_id, candidate):
    return {
        "id": str(uuid.uuid4()),
        "trial_id": trial_id,
        "position": 0,
        "name": "build",
        "key": f"k{candidate.hash}",
        "hit": False,
        "seconds": 12.0,
    }


def open_store(home):
    """Open the default database of a home."""
    return Store.open(f"sqlite:///{home}/tuner.db")
