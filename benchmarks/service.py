"""The service: what leases, queue and coordinator cost, and how many workers they carry.

    python -m benchmarks.service [--quick] [-o FILE]

1. Claim to result: trials a second that 1, 4 and 16 worker processes take from the queue and finish, with a pipeline
   that does nothing, on SQLite and PostgreSQL.
2. Overhead: seconds that a whole study (asking, queueing, claiming, recording, telling, summing up) costs a trial,
   without and with Optuna's own part of it.
3. Reading: `tuner status` and `tuner list` with 200 studies and 100 000 trials, as whole processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from benchmarks.environment import environment
from tests.databases import Server, find_binaries
from tests.service.stub import StubPipeline, stub_host, stub_study, stub_worker
from tuner.candidate import Candidate
from tuner.service.record import record
from tuner.service.summary import summarise
from tuner.store import Store
from tuner.store.columns import now
from tuner.store.models import TrialRow

_WORKERS = (1, 4, 16)


@contextlib.contextmanager
def databases() -> Iterator[dict[str, Any]]:
    """Yield functions that make an empty database, by dialect; PostgreSQL only where it is installed."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        numbers = iter(range(1000))
        made: dict[str, Any] = {"sqlite": lambda: f"sqlite:///{folder}/{next(numbers)}.db"}
        binaries = find_binaries()
        if binaries is not None:
            server = Server(binaries)
            stack.callback(server.remove)
            server.create()

            def database() -> str:
                name = f"bench{next(numbers)}"
                server.sql(f"CREATE DATABASE {name}")
                return server.url(name)

            made["postgresql"] = database
        yield made


# -- 1. claim to result


def throughput(url: str, workers: int, trials: int) -> float:
    """Return trials a second from the first claim to the last result."""
    with Store.open(url) as store:
        study = store.create_study(stub_study("queue", trials=trials))
        store.resume(store.set_study_state(study, "paused"))
        store.set_study_state(study, "running")
        _queue(store, study.id, trials)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        ready, go = manager.Barrier(workers + 1), manager.Event()
        processes = [context.Process(target=_take, args=(url, f"w{i}", ready, go)) for i in range(workers)]
        for process in processes:
            process.start()
        ready.wait()
        begin = time.monotonic()
        go.set()
        for process in processes:
            process.join()
        took = time.monotonic() - begin
    with Store.open(url) as store:
        assert store.counts(study) == {"complete": trials}, store.counts(study)
    return trials / took


def _queue(store: Store, study_id: str, trials: int) -> None:
    candidate = Candidate.model_validate(
        {"distillation": {"student_layers": 1}, "backend": {"engine": "torch"}}
    )
    same = {
        "study_id": study_id, "candidate": candidate.canonical(), "hash": candidate.hash, "seed": False,
        "state": "queued", "metrics": {}, "requires": {}, "requires_key": "-", "token": 0, "attempt": 0,
        "told": False, "created_at": now(),
    }  # fmt: skip
    with store._writing() as session:
        session.execute(insert(TrialRow), [{**same, "number": i} for i in range(trials)])


def _take(url: str, name: str, ready: Any, go: Any) -> None:
    pipeline, host = StubPipeline(), stub_host()
    with Store.open(url) as store:
        store.sign_on(name, os.getpid(), {}, host)
        ready.wait()
        go.wait()
        while (trial := store.claim_trial(name, lambda needs: True, 60.0, host)) is not None:
            study = store.study_of(trial)
            record(store, study, trial, pipeline.evaluate(study, trial.candidate), host)


# -- 2. overhead


def overhead(url: str, sampler: str, trials: int) -> dict[str, float]:
    """Return milliseconds that a trial costs in a whole study by one worker, and how many of them are Optuna's."""
    from tuner.service import view

    spent = 0.0

    def timed(store: Store, call: Any) -> Any:
        nonlocal spent
        begin = time.perf_counter()
        try:
            return plain(store, call)
        finally:
            spent += time.perf_counter() - begin

    plain, view.patiently = view.patiently, timed
    try:
        with Store.open(url) as store:
            study = store.create_study(stub_study("whole", trials=trials, sampler=sampler))
            begin = time.perf_counter()
            stub_worker(store, "w", only=study).run()
            took = time.perf_counter() - begin
            assert store.get_study("whole").state == "finished"
    finally:
        view.patiently = plain
    whole, optuna = took / trials * 1000, spent / trials * 1000
    return {"whole_ms": whole, "optuna_ms": optuna, "service_ms": whole - optuna}


# -- 3. reading


def reading(url: str, studies: int, trials: int, repeats: int = 3) -> dict[str, float]:
    """Return seconds of whole processes, medians: Python's start alone, `tuner status` and `tuner list`."""
    with Store.open(url) as store:
        made = [store.create_study(stub_study(f"study-{i}")) for i in range(studies)]
        for i, study in enumerate(made):
            _ended(store, study.id, trials // studies)
            store.keep_summary(
                study, summarise(study, [], store.spans(study))
            )  # as its coordinator leaves it
            store.set_study_state(study, "running" if i % 10 == 0 else "finished")
    commands = {"start": ["--version"], "status": ["status", "--json"], "list": ["list", "--json"]}
    took: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, arguments in commands.items():
            begin = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "tuner.cli.main", *arguments],
                env={**os.environ, "TUNER_DB": url},
                capture_output=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            took[name].append(time.monotonic() - begin)
    return {f"{name}_s": statistics.median(found) for name, found in took.items()}


def _ended(store: Store, study_id: str, trials: int) -> None:
    candidate = Candidate.model_validate(
        {"distillation": {"student_layers": 1}, "backend": {"engine": "torch"}}
    )
    metrics = {"accuracy": {"value": 0.9, "low": 0.89, "high": 0.91}}
    same = {
        "study_id": study_id, "candidate": candidate.canonical(), "hash": candidate.hash, "seed": False,
        "state": "complete", "metrics": metrics, "requires": {}, "requires_key": "-", "token": 1, "attempt": 1,
        "told": True, "created_at": now(), "started_at": now(), "finished_at": now(), "accuracy": 0.9,
    }  # fmt: skip
    with store._writing() as session:
        session.execute(insert(TrialRow), [{**same, "number": i} for i in range(trials)])


def main() -> None:
    """Run all three, print them and store them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/service.json"))
    given = parser.parse_args()
    share = 10 if given.quick else 1
    found: dict[str, Any] = {"host": environment()}
    with databases() as made:
        for dialect, database in made.items():
            print(f"{dialect}")
            rates = {n: throughput(database(), n, 320 // share) for n in _WORKERS}
            print("  claim to result: " + ", ".join(f"{n} workers {r:.0f}/s" for n, r in rates.items()))
            costs = {s: overhead(database(), s, 60 // share) for s in ("random", "tpe-grouped")}
            for sampler, cost in costs.items():
                print(
                    f"  a trial ({sampler}): service {cost['service_ms']:.0f} ms, Optuna {cost['optuna_ms']:.0f} ms"
                )
            reads = reading(database(), 200 // share, 100_000 // share)
            print("  " + ", ".join(f"{name[:-2]} {s:.2f} s" for name, s in reads.items()))
            found[dialect] = {"trials_per_second": rates, "overhead": costs, "reading": reads}
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(found, indent=1) + "\n")
    print(f"stored: {given.output}")


if __name__ == "__main__":
    main()
