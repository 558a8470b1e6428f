"""The overview: workers, studies and what waits, on both databases, without a look at a trial."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from tests.service.rowed import (
    TORCH,
    candidate,
    complete,
    failed,
    queue,
    sign_on,
    silent,
    spans,
    spec,
    stored,
)
from tests.store.claims import claim, coordinate
from tuner.errors import InputError, NotFoundError
from tuner.hardware import this_host
from tuner.service import api
from tuner.service.overview import read_overview
from tuner.service.summary import summarise
from tuner.store import Store


@pytest.fixture
def store(url):
    with Store.open(url) as opened:
        yield opened


def messages(store):
    return [note.message for note in read_overview(store).notes]


def test_an_empty_database_is_no_news(store):
    found = read_overview(store)
    assert (found.workers, found.studies, found.notes) == ((), (), ())


def test_a_study_is_counted_by_states_and_distinct_candidates(store):
    study = stored(store)
    complete(store, study, candidate(6, "torch"))
    failed(store, study, candidate(5))
    again = store.retry_trial(study, 1)
    claim(store, again)
    complete(store, study, candidate(4))
    spans(store, study, (0, 10), (5, 20), (0, 1), (30, 40))
    queue(store, study, candidate(3))
    (line,) = read_overview(store).studies
    assert (line.done, line.total, line.measured, line.failed) == (3, 6, 2, 1)
    assert (line.queued, line.running, line.repeated, line.cancelled) == (1, 1, 0, 0)
    assert line.seconds_left == pytest.approx(30 / 3 * 3, abs=0.01)  # as long for each of the three to come


def test_a_candidate_that_was_tried_twice_counts_once_also_when_all_is_over(store):
    study = stored(store, spec(budget={"trials": 1}))
    failed(store, study, candidate(5))
    store.fail_trial(claim(store, store.retry_trial(study, 0)), "error", "it broke again")
    store.set_study_state(study, "finished")
    (line,) = read_overview(store).studies
    assert (line.done, line.total, line.failed) == (1, 1, 2)


def test_best_front_and_hypervolume_come_from_the_summary(store):
    study = stored(store)
    for found, speedup, drop in [
        (candidate(6, "torch"), 1.0, 0.0),
        (candidate(3), 8.0, 0.01),
        (candidate(1), 20, 0.3),
    ]:
        complete(store, study, found, speedup, drop)
    held = coordinate(store, study)
    summary = summarise(held, store.trials(study, ("complete",)), store.spans(study))
    store.release_study(store.move_study(held, summary=summary))
    (line,) = read_overview(store).studies
    assert (line.best_speedup, line.loss) == (pytest.approx(8.0), pytest.approx(0.01))
    assert line.on_front == 2 and not line.confirmed and 0 < line.hypervolume < 1
    assert line.coordinator is None and line.host == this_host().name


def test_a_study_of_an_earlier_tuner_is_summed_up_once_and_keeps_its_place(store):
    study = stored(store)
    for found, speedup in [(candidate(6, "torch"), 1.0), (candidate(3), 8.0)]:
        complete(store, study, found, speedup)
    store.set_study_state(study, "finished")
    before = store.get_study(study.name).updated_at
    assert read_overview(store).studies[0].best_speedup == pytest.approx(8.0)
    kept = store.get_study(study.name)
    assert kept.summary["front"] == [1] and kept.updated_at == before


def test_an_open_study_is_not_summed_up_by_who_looks(store):
    complete(store, study := stored(store), candidate(6, "torch"))
    assert read_overview(store).studies[0].best_speedup is None
    assert store.get_study(study.name).summary == {}


def test_workers_are_alive_lost_or_gone(store, monkeypatch):
    monkeypatch.setenv("TUNER_LEASE", "10")
    for name in ("well", "quiet", "left"):
        me = sign_on(store, name, rack="a3")
    store.sign_off(store.find_worker("left"))
    silent(store, "quiet", 60)
    found = {worker.name: worker for worker in read_overview(store).workers}
    assert {name: worker.state for name, worker in found.items()} == {
        "well": "alive",
        "quiet": "lost",
        "left": "gone",
    }
    assert read_overview(store).alive == 1
    assert 59 < found["quiet"].silent_s < 90 and found["well"].silent_s < 10
    assert found["well"].labels == {"rack": "a3"} and found["well"].engines == ("openvino@cpu", "torch@cpu")
    assert found["well"].host == me.host.name and found["well"].cores == len(this_host().cores)


def test_a_worker_shows_what_it_runs_and_coordinates(store):
    study, other = stored(store), stored(store, spec("other"))
    sign_on(store, "w")
    claim(store, queue(store, study, candidate(3)), worker="w")
    coordinate(store, other, "w")
    coordinate(store, study, "x", seconds=-1)  # it fell silent
    found = read_overview(store)
    assert found.workers[0].trials == (("s", 0),) and found.workers[0].coordinates == ("other",)
    assert {line.name: line.coordinator for line in found.studies} == {"s": None, "other": "w"}


def test_nobody_alive_is_said_only_where_somebody_is_needed(store):
    study = stored(store, state="finished")
    assert messages(store) == []
    store.set_study_state(study, "confirming")
    assert messages(store) == ["no worker is alive; start one: tuner worker"]
    silent(store, sign_on(store, "w").name, 1000)
    assert messages(store) == ["no worker is alive; start one: tuner worker"]
    store.set_study_state(study, "paused")
    assert messages(store) == []


def test_queued_trials_that_no_live_worker_can_run(store):
    study = stored(store)
    for layers in (1, 2, 3):
        queue(store, study, candidate(layers))
    queue(store, study, candidate(6, "torch"))
    sign_on(store, "a", (TORCH,))
    sign_on(store, "b", (TORCH,))
    gone = sign_on(store, "gone")
    store.sign_off(gone)
    assert messages(store) == ["study s: no live worker has engine openvino@cpu (3 trials wait)"]
    sign_on(store, "c")
    assert messages(store) == []
    store.pause(study)
    store.sign_off(store.find_worker("c"))
    assert messages(store) == []  # a paused study hands out nothing: nobody waits for a worker


def test_one_trial_and_workers_that_lack_different_things(store):
    study = stored(store, spec(requires={"labels": {"rack": "b7"}}))
    queue(store, study, candidate(3))
    sign_on(store, "a", (TORCH,), rack="b7")
    sign_on(store, "b", rack="a3")
    assert messages(store) == [
        "study s: no live worker has all that is needed: one lacks engine openvino@cpu, "
        "another label rack=b7 (1 trial waits)"
    ]


def test_the_hardware_that_a_study_began_on_is_named(store):
    other = replace(this_host(), cpu="another one", name="elsewhere")
    queue(store, study := stored(store), candidate(3), this_host().fingerprint)
    sign_on(store, "w", host=other)
    assert messages(store) == [
        f"study s: no live worker has the hardware of {study.host.name}, where the study began (1 trial waits)"
    ]


def test_a_study_that_no_live_worker_can_begin(store):
    wanted = spec("fresh", axes={"backend": {"engines": ["openvino"]}}, requires={"cores": 4096})
    store.create_study(wanted.to_plain())
    store.create_study(spec("fine").to_plain())
    sign_on(store, "w")
    assert messages(store) == ["study fresh: no live worker has 4096 cores (it was not begun)"]


def test_the_part_of_one_study(store):
    for name in ("one", "two"):
        queue(store, stored(store, spec(name)), candidate(3))
    sign_on(store, "w", (TORCH,))
    found = read_overview(store).of("two")
    assert [line.name for line in found.studies] == ["two"] and [note.study for note in found.notes] == [
        "two"
    ]
    with pytest.raises(NotFoundError, match="did you mean 'two'"):
        read_overview(store).of("twoo")
    with pytest.raises(NotFoundError, match="tuner list"):
        read_overview(store).of("zzzzzzz")


def test_it_is_json(store):
    claim(store, queue(store, stored(store), candidate(3)), worker="w")
    sign_on(store, "w")
    plain = json.loads(json.dumps(read_overview(store).to_json(), allow_nan=False))
    assert plain["workers"][0]["trials"] == [{"study": "s", "trial": 0}]
    assert plain["studies"][0]["objectives"] == ["accuracy", "latency_ms"]
    old = {"name", "state", "objectives", "measured", "failed", "repeated", "on_front", "confirmed", "best_speedup",
           "baseline_ms", "host", "updated"}  # fmt: skip
    assert old <= set(plain["studies"][0])


def test_studies_are_listed_with_the_last_changed_first(store, url):
    for name in ("one", "two", "three"):
        stored(store, spec(name))
    store.pause(store.get_study("one"))
    assert [line.name for line in api.list_studies(url)] == ["one", "three", "two"]


def test_a_lease_that_is_no_number_is_the_users_mistake(store, monkeypatch):
    sign_on(store)
    monkeypatch.setenv("TUNER_LEASE", "long")
    with pytest.raises(InputError, match="TUNER_LEASE: 'long'"):
        read_overview(store)


def test_no_trial_is_loaded_and_the_number_of_queries_does_not_grow(store):
    def queries():
        seen = []
        event.listen(store.engine, "before_cursor_execute", listen := lambda *a: seen.append(a[2]))
        read_overview(store)
        event.remove(store.engine, "before_cursor_execute", listen)
        return [sql for sql in seen if "tuner_" in sql]

    sign_on(store, "w")
    for i in range(2):
        complete(store, stored(store, spec(f"s{i}")), candidate(3))
    few = queries()
    for i in range(2, 6):
        complete(store, stored(store, spec(f"s{i}")), candidate(3))
    assert len(queries()) == len(few) <= 10
    assert not any("metrics" in sql or "log_tail" in sql for sql in few)


def test_looking_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from tuner.cli.main import main; code = main(['status', '--json']);"
        "heavy = {'torch', 'transformers', 'optuna', 'pandas', 'numpy', 'scipy', 'alembic'} & set(sys.modules);"
        "sys.exit(str(sorted(heavy)) if heavy else code)"
    )
    url = f"sqlite:///{tmp_path}/t.db"
    with Store.open(url) as store:
        queue(store, stored(store), candidate(3))
        sign_on(store)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2],
        env={"TUNER_DB": url, "TUNER_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "") and json.loads(done.stdout)["studies"]
