"""The store on real databases: a SQLite file and a PostgreSQL server."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, text

from tests.databases import only_sqlite
from tests.service import crew
from tests.store.claims import claim, coordinate, run
from tuner.candidate import Backend, Distillation, Parallel, baseline
from tuner.errors import InputError, LeaseLostError, NotFoundError, TunerError
from tuner.hardware import this_host
from tuner.metrics import Estimate
from tuner.store import Artefact, Measurement, StageRun, Store, database_url, retry, tuner_home
from tuner.store.optuna_storage import open_optuna_storage

METRICS = {
    "accuracy": Estimate(value=0.95, low=0.93, high=0.97),
    "accuracy_drop": Estimate(value=0.01, low=-0.01, high=0.03),
    "latency_ms": Estimate(value=2.5, low=2.4, high=2.6),
    "speedup": Estimate.exact(9.9),
    "throughput": Estimate.exact(400.0),
    "memory_mb": Estimate.exact(120.0),
    "size_mb": Estimate.exact(22.5),
    "energy_j": None,
}


@pytest.fixture
def store(url):
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def study(store):
    made = store.create_study({"name": "quick", "seed": 0}, this_host(), meta={"teacher_layers": 6})
    assert made.state == "queued"
    return run(store, made)


def test_a_trial_keeps_everything(store, study):
    queued = store.new_trial(study, 4, baseline(6, 2), seed=True)
    assert (queued.number, queued.state, queued.attempt, queued.seed) == (0, "queued", 0, True)
    assert (queued.worker, queued.token, queued.told, queued.requires) == (None, 0, False, {})
    running = claim(store, host=this_host())
    assert (running.state, running.worker, running.token) == ("running", "worker", 1)
    samples = (1.1, 2.2, 0.1 + 0.2)
    stages = [StageRun("shape", "abc", True, 0.01), StageRun("build", "def", False, 3.5)]
    store.finish_trial(
        running,
        METRICS,
        ratio=Estimate(value=0.1, low=0.09, high=0.11),
        stages=stages,
        measurements=[
            Measurement("performance", samples, (3.0, 4.0), {"drift": 0.02}),
            Measurement("quality", summary={"confusion": [[1, 0], [0, 1]]}),
        ],
        artefact_key="def",
        correct=[True] * 8 + [False, True, False],
        reference_ms=24.7,
        log_tail="built",
    )
    trial = store.trial(study, 0)
    assert (
        trial.metrics == METRICS and trial.candidate == baseline(6, 2) and trial.hash == baseline(6, 2).hash
    )
    assert trial.stages == tuple(stages)
    assert trial.ratio == Estimate(value=0.1, low=0.09, high=0.11)
    assert trial.correct == (True,) * 8 + (False, True, False)
    assert (trial.state, trial.reference_ms, trial.optuna_number, trial.attempt) == ("complete", 24.7, 4, 1)
    assert (trial.worker, trial.token, trial.told, trial.log_tail) == ("worker", 1, False, "built")
    assert trial.host and trial.host.fingerprint == this_host().fingerprint
    assert trial.started_at and trial.finished_at and trial.started_at <= trial.finished_at
    assert abs(datetime.now(UTC) - trial.finished_at) < timedelta(minutes=1)
    measured, quality = store.measurements(trial.id)
    assert (measured.samples, measured.reference_samples) == (samples, (3.0, 4.0))  # bit for bit
    assert measured.summary == {"drift": 0.02} and measured.host == this_host().fingerprint
    assert (quality.samples, quality.summary["confusion"]) == (None, [[1, 0], [0, 1]])
    with pytest.raises(FrozenInstanceError):
        trial.state = "failed"


def test_headline_columns_repeat_the_metrics(store, study):
    store.new_trial(study, 0, baseline(6, 2))
    store.finish_trial(claim(store), METRICS)
    columns = "accuracy, accuracy_drop, latency_ms, speedup, throughput, memory_mb, size_mb"
    with store.engine.connect() as connection:
        row = connection.execute(text(f"SELECT {columns} FROM tuner_trial")).one()
    assert tuple(row) == (0.95, 0.01, 2.5, 9.9, 400.0, 120.0, 22.5)


def test_what_is_not_finite_is_kept_as_not_measured(store, study):
    store.new_trial(study, 0, baseline(6, 2))
    trial = claim(store)
    nan, inf = float("nan"), float("inf")
    metrics = {
        "accuracy": Estimate(value=nan, low=nan, high=nan),
        "latency_ms": Estimate(value=2.0, low=-inf, high=inf),
    }
    store.finish_trial(
        trial, metrics, ratio=nan, measurements=[Measurement("quality", summary={"drift": [nan]})]
    )
    found = store.trial(study, 0)
    assert (found.metrics["accuracy"], found.ratio) == (None, None)
    assert found.metrics["latency_ms"].value == 2.0 and found.metrics["latency_ms"].high > 1e300
    assert store.measurements(trial.id)[0].summary == {"drift": [None]}
    with store.engine.connect() as connection:
        raw = connection.execute(text("SELECT metrics FROM tuner_trial")).scalar()
    assert "NaN" not in raw and "Infinity" not in raw


def test_failed_pruned_and_repeated_trials(store, study):
    for i in range(3):
        store.new_trial(study, i, baseline(6 - i % 2, 2))
    one, two, three = (claim(store) for _ in range(3))
    failed = store.fail_trial(one, "out-of-memory", "took 9000 MB, limit 8000 MB", "last lines")
    assert (failed.state, failed.kind, failed.log_tail) == ("failed", "out-of-memory", "last lines")
    pruned = store.prune_trial(two, "gate", "cannot reach the front", {"latency_ms": Estimate.exact(9.0)})
    assert (pruned.state, pruned.metrics["latency_ms"].value) == ("pruned", 9.0)
    with pytest.raises(TunerError, match="trial 1 cannot answer for 6L"):
        store.repeat_trial(study, 3, baseline(6, 2), pruned)  # another candidate
    with pytest.raises(TunerError, match="trial 2 cannot answer for 6L"):
        store.repeat_trial(study, 3, baseline(6, 2), three)  # it is not finished
    assert len(store.trials(study)) == 3  # and nothing was stored by the tries
    repeated = store.repeat_trial(study, 3, baseline(5, 2), pruned)
    assert (repeated.number, repeated.state, repeated.reason, repeated.repeat_of) == (
        3,
        "repeated",
        "cannot reach the front",
        two.id,
    )
    assert repeated.metrics == pruned.metrics and not repeated.told and repeated.attempt == 0
    assert [t.number for t in store.trials(study, ("pruned", "repeated"))] == [1, 3]
    assert store.find_trial(study, baseline(5, 2)).id == two.id
    assert store.find_trial(study, baseline(4, 2)) is None


def test_a_finished_trial_stays_as_it_is(store, study):
    store.new_trial(study, 0, baseline(6, 2))
    trial = claim(store)
    done = store.finish_trial(trial, METRICS)
    with pytest.raises(LeaseLostError, match="trial 0 is not run by worker any more"):
        store.fail_trial(trial, "error", "late")
    with pytest.raises(LeaseLostError, match="trial 0 is not run by worker any more"):
        store.release_trial(trial)
    assert store.claim_trial("worker", lambda requires: True, 60, trial_id=trial.id) is None
    assert (
        store.finish_trial(trial, {}) == done == store.trial(study, 0)
    )  # only the answer was lost: no error
    assert done.metrics == METRICS


def test_what_a_crash_left_is_unfinished_and_counts_its_attempts(url):
    with Store.open(url) as store:
        study = run(store, store.create_study({"name": "s"}))
        for i in range(3):
            store.new_trial(study, i, baseline(6 - i, 2))
        store.finish_trial(claim(store), METRICS)
        running = claim(store)
    with Store.open(url) as store:
        left = store.unfinished(store.get_study("s"))
        assert [(t.number, t.state, t.attempt) for t in left] == [(1, "running", 1), (2, "queued", 0)]
        (again,) = store.take_back("worker", attempts=3)
        assert (again.id, again.state, again.attempt) == (running.id, "queued", 1)
        assert [(t.number, t.attempt) for t in (claim(store), claim(store))] == [(1, 2), (2, 1)]


def test_confirmation_stands_beside_the_search(store, study):
    trial = store.new_trial(study, 0, baseline(6, 2))
    with pytest.raises(TunerError, match="only a complete trial"):
        store.confirm_trial(study, trial.id, METRICS)
    store.finish_trial(claim(store), METRICS, measurements=[Measurement("performance", (1.0,))])
    lower = {**METRICS, "accuracy": Estimate.exact(0.9)}
    found = store.confirm_trial(
        study, trial.id, lower, 0.2, [Measurement("confirm", (2.0,))], correct=[False]
    )
    assert found.metrics["accuracy"].value == 0.95 and found.confirmed["accuracy"].value == 0.9
    assert (found.confirmed_ratio, found.confirmed_correct) == (Estimate.exact(0.2), (False,))
    assert [m.kind for m in store.measurements(trial.id)] == ["performance", "confirm"]


def test_studies(store, study):
    assert store.get_study("quick") == study and study.host.fingerprint == this_host().fingerprint
    with pytest.raises(InputError, match="exists already"):
        store.create_study({"name": "quick"})
    with pytest.raises(NotFoundError, match="did you mean 'quick'"):
        store.get_study("quik")
    changed = store.move_study(study, meta={"notes": ["x"]}, summary={"front": [0]})
    assert (changed.meta, changed.summary) == ({"teacher_layers": 6, "notes": ["x"]}, {"front": [0]})
    other = store.create_study({"name": "other"})
    store.set_study_state(study, "interrupted")
    assert [(s.name, s.state) for s in store.list_studies()] == [
        ("quick", "interrupted"),
        ("other", "queued"),
    ]
    store.new_trial(coordinate(store, other), 0, baseline(6, 2))
    assert [s.name for s in store.list_studies()] == ["other", "quick"]
    assert store.find_study("none") is None


def test_deleting_a_study_takes_its_rows_along_and_no_others(store, study):
    keep = run(store, store.create_study({"name": "keep"}))
    for owner in (study, keep):
        store.new_trial(owner, 0, baseline(6, 2))
        trial = claim(store)
        store.finish_trial(
            trial, METRICS, stages=[StageRun("a", "b", True, 0)], measurements=[Measurement("quality")]
        )
        store.repeat_trial(owner, 1, baseline(6, 2), trial)
        store.add_event("started", "hello", owner, trial.id)
    store.delete_study(study)
    with store.engine.connect() as connection:
        counts = [
            connection.execute(text(f"SELECT count(*) FROM tuner_{name}")).scalar()
            for name in ("study", "trial", "stage_run", "measurement", "event")
        ]
    assert counts == [1, 2, 1, 1, 1]


def test_each_host_has_a_clock(store, study):
    """It is the median of what all the study's trials on that host saw of the baseline."""
    seen = []
    for layers, reference_ms in enumerate((20.0, 30.0, 22.0), start=1):
        store.new_trial(study, None, baseline(layers, 2))
        clock_ms = store.clock_with(study, this_host(), reference_ms)
        trial = claim(store, host=this_host())
        store.finish_trial(trial, METRICS, reference_ms=reference_ms, clock_ms=clock_ms)
        seen.append(store.get_study("quick").clock(trial.host))
    assert seen == [20.0, 25.0, 22.0]
    assert store.get_study("quick").baseline_ms == 22.0


def test_events_and_artefacts(store, study):
    for i in range(5):
        store.add_event("trial", f"number {i}", study, data={"i": i})
    store.add_event("other", "elsewhere")
    assert [e.message for e in store.events(study)] == [f"number {i}" for i in range(5)]
    assert len(store.events()) == 6
    large = Artefact("k1", "build", "/a", "f" * 64, 5 * 2**31)
    first = store.record_artefact(large)
    store.record_artefact(Artefact("k2", "build", "/b", "", 7))
    again = store.record_artefact(large)
    assert again.last_used_at > first.last_used_at and again.created_at == first.created_at
    assert [a.key for a in store.artefacts()] == ["k2", "k1"]
    assert store.artefact("k1").size_bytes == 5 * 2**31
    with pytest.raises(NotFoundError):
        store.artefact("k3")


def test_candidates_of_any_kind_come_back_equal(store, study):
    candidate = baseline(6, 2).model_copy(
        update={
            "distillation": Distillation(student_layers=1),
            "parallel": Parallel(threads=1, replicas=2),
            "backend": Backend(engine="openvino", fixed_shape=True),
        }
    )
    store.new_trial(study, None, candidate)
    assert store.trial(study, 0).candidate == candidate and store.trial(study, 0).optuna_number is None
    with pytest.raises(NotFoundError, match="'quick' has no trial 7"):
        store.trial(study, 7)


@only_sqlite
def test_pragmas_hold_on_every_connection(store):
    for engine in (store.engine, open_optuna_storage(store).engine):
        with engine.connect() as connection:
            found = [
                connection.exec_driver_sql(f"PRAGMA {p}").scalar()
                for p in ("journal_mode", "synchronous", "foreign_keys")
            ]
        assert found == ["wal", 1, 1]


def test_home_and_url(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TUNER_DB", raising=False)
    assert tuner_home() == tmp_path / "home"
    with Store.open() as store:
        assert (tmp_path / "home/tuner.db").exists() and store.list_studies() == []
    monkeypatch.setenv("TUNER_DB", f"sqlite:///{tmp_path}/other.db")
    assert database_url().database == f"{tmp_path}/other.db"
    monkeypatch.delenv("TUNER_HOME")
    assert tuner_home().name == "tuner"
    with pytest.raises(InputError, match="no database URL"):
        database_url("study.db")
    with pytest.raises(InputError, match="must be a file"):
        database_url("sqlite://")


@pytest.mark.parametrize("name", ["50% of it", "a{b}c", "mit blank#x"])
def test_odd_characters_in_the_path(tmp_path, name):
    folder = tmp_path / name
    with Store.open(f"sqlite:///{folder}/t.db") as store:
        store.create_study({"name": "s"})
        storage = open_optuna_storage(store)
        assert storage.get_all_studies() == []
    assert (folder / "t.db").exists()


def test_a_database_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("x")
    for url, why in (
        (f"sqlite:///{tmp_path}/file/t.db", "cannot be written"),  # a file where a directory should be
        (f"sqlite:///{tmp_path}", "it is a directory"),
        ("sqlite:////proc/tuner/t.db", "cannot be written"),
        (f"sqlite:///{tmp_path}/file", "not a database"),
    ):
        (tmp_path / "file").write_text("x" * 5000)
        with pytest.raises(InputError, match=why) as caught:
            Store.open(url)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_write_permission(tmp_path):
    (tmp_path / "d").mkdir(mode=0o500)
    with pytest.raises(InputError, match="no write permission"):
        Store.open(f"sqlite:///{tmp_path}/d/t.db")


@only_sqlite
def test_a_full_disk_is_one_clear_line_and_loses_nothing(store, study):
    with store.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    store.new_trial(study, 0, baseline(6, 2))
    trial = claim(store)

    def small(connection, _record):
        connection.execute(f"PRAGMA max_page_count={pages + 2}").close()

    event.listen(store.engine, "connect", small)
    store.engine.dispose()
    noise = tuple(float(i) ** 0.5 for i in range(50_000))
    with pytest.raises(TunerError, match="no space left on the disk") as caught:
        store.finish_trial(trial, METRICS, measurements=[Measurement("performance", noise)])
    assert "\n" not in str(caught.value) and caught.value.exit_code == 1
    event.remove(store.engine, "connect", small)
    store.engine.dispose()
    assert store.trial(study, 0).state == "running"  # all of a finish or nothing
    with store.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count={2**30}")
    store.finish_trial(trial, METRICS)


def test_no_space_for_a_directory(tmp_path, store):
    with pytest.raises(TunerError, match="no space left"), store.guard():
        raise OSError(28, "No space left on device")
    with pytest.raises(KeyError), store.guard():  # what is not the database's comes through untouched
        raise KeyError("x")


@only_sqlite
def test_a_locked_database_says_so(store, study, monkeypatch):
    monkeypatch.setattr(retry, "PATIENCE_SECONDS", 0.2)
    other = sqlite3.connect(store.url.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store.engine.dispose()
    event.listen(store.engine, "connect", lambda c, _: c.execute("PRAGMA busy_timeout=50").close())
    with pytest.raises(TunerError, match="locked by another process"):
        store.new_trial(study, 0, baseline(6, 2))
    assert store.get_study("quick")  # WAL: readers go on
    other.execute("ROLLBACK")
    other.close()


def _open_and_write(url: str, index: int) -> None:
    with Store.open(url) as store:
        open_optuna_storage(store).get_all_studies()
        study = coordinate(store, store.create_study({"name": f"s{index}"}))
        for i in range(5):
            store.new_trial(study, i, baseline(6, 2))


def test_eight_processes_on_an_empty_database(url):
    # forked from a process that has imported everything: they do start at once
    processes = [crew.context.Process(target=_open_and_write, args=(url, i)) for i in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)
    assert [p.exitcode for p in processes] == [0] * 8
    with Store.open(url) as store:
        assert [len(store.trials(s)) for s in store.list_studies()] == [5] * 8
