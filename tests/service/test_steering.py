"""Submitting and steering studies: what happens to the rows, and what a person is told, on both databases."""

from __future__ import annotations

import optuna
import pytest
import yaml
from sqlalchemy import text

from tests.service.rowed import candidate, complete, failed, queue, sign_on, spec, stored
from tests.store.claims import claim, coordinate
from tuner.errors import InputError, LeaseLostError, NotFoundError
from tuner.hardware import this_host
from tuner.service import api, steering
from tuner.service.handle import StudyHandle
from tuner.service.summary import summarise
from tuner.store import Store
from tuner.store.optuna_storage import open_optuna_storage

NOBODY = "no worker is alive; start one: tuner worker"


@pytest.fixture
def store(url, tmp_path, monkeypatch):
    monkeypatch.setenv("TUNER_HOME", str(tmp_path / "home"))
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def file(tmp_path):
    """A study file whose sources are there."""
    (tmp_path / "model").mkdir()
    (tmp_path / "texts.csv").write_text("text,label\na,b\n")
    path = tmp_path / "mine.yaml"
    plain = {
        "name": "mine",
        "model": {"source": "model"},
        "data": {"source": "texts.csv"},
        "budget": {"trials": 6},
    }
    path.write_text(yaml.safe_dump(plain))
    return path


def states(store, study):
    return [trial.state for trial in store.trials(study)]


def test_submitting_stores_a_queued_study_and_says_that_nobody_is_there(store, url, file):
    change = api.submit(file, trials=9, timeout_s=90, seed=7, overrides=["measure.seconds=2"], db=url)
    assert (change.study, change.state, change.trial) == ("mine", "queued", None)
    assert change.message == f"study mine: submitted (9 candidates or 1.5 minutes); {NOBODY}"
    kept = store.get_study("mine")
    assert kept.host is None and kept.spec["base"] == str(file.parent)
    assert (kept.spec["budget"]["trials"], kept.spec["seed"], kept.spec["measure"]["seconds"]) == (9, 7, 2)


def test_submitting_counts_workers_and_names_what_they_lack(store, url, file):
    sign_on(store, "one")
    assert api.submit(file, db=url).message.endswith("1 worker is alive")
    sign_on(store, "two")
    assert api.submit(file, db=url).message.endswith("2 workers are alive")
    file.write_text(file.read_text() + "requires: {cores: 4096}\n")
    change = api.submit(file, overrides=["name=big"], db=url)
    assert change.message.endswith("no live worker has 4096 cores (it was not begun)")


@pytest.mark.parametrize("state", ["interrupted", "cancelled", "finished", "paused", "failed"])
def test_submitting_again_goes_on_with_the_new_budget(store, state):
    study = stored(store)
    complete(store, study, candidate(3))
    store.set_study_state(study, state)
    change = steering.submit(store, spec(budget={"trials": 8}))
    assert change.message == f"study s: goes on after 1 candidate (8 candidates); {NOBODY}"
    assert change.state == "running" == store.get_study("s").state
    assert store.get_study("s").spec["budget"]["trials"] == 8


def test_another_study_of_the_name_is_refused(store):
    stored(store)
    with pytest.raises(InputError, match=r"study 's' exists and differs in seed; .*--set name="):
        steering.submit(store, spec(seed=5))


def test_pausing_and_resuming(store, url):
    study = stored(store)
    running = claim(store, queue(store, study, candidate(1)))
    queue(store, study, candidate(2))
    change = api.pause("s", url)
    assert change.message == (
        "study s: paused; 1 trial at work comes to an end; 1 trial stays in the queue. It goes on with: tuner resume s"
    )
    assert store.claim_trial("w", lambda _: True, 60) is None
    store.fail_trial(running, "error", "x")  # it may come to its end
    assert api.resume("s", url).message == f"study s: running; {NOBODY}"
    assert api.resume("s", url).message == f"study s: already running; {NOBODY}"
    assert store.claim_trial("w", lambda _: True, 60) is not None


def test_a_study_that_is_over_cannot_be_paused_stopped_or_cancelled(store, url):
    stored(store, state="finished")
    for verb in (api.pause, api.resume, api.stop, api.cancel):
        with pytest.raises(InputError, match="study 's' is finished and cannot"):
            verb("s", url)


def test_unknown_studies_and_trials_are_not_found(store, url):
    stored(store)
    calls = [
        *(
            (verb, ("nil",))
            for verb in (api.pause, api.resume, api.stop, api.cancel, api.delete, api.overview)
        ),
        *((verb, ("s", 99)) for verb in (api.retry,)),
        (api.discard, ("s", 99, "why")),
    ]
    for verb, arguments in calls:
        with pytest.raises(NotFoundError):
            verb(*arguments, db=url)


def test_stopping_drains_or_ends_at_once(store, url):
    study = stored(store)
    assert api.stop("s", url).message == (
        "study s: interrupted; nothing of it was at work. It goes on with: tuner resume s"
    )
    api.resume("s", url)
    for layers in (1, 2):
        claim(store, queue(store, study, candidate(layers)))
    change = api.stop("s", url)
    assert change.state == "stopping"
    assert change.message == (
        "study s: stopping; 2 trials at work come to an end first. It goes on with: tuner resume s"
    )


def test_cancelling_ends_what_runs_and_keeps_what_was_measured(store, url):
    study = stored(store)
    complete(store, study, candidate(3))
    running = claim(store, queue(store, study, candidate(1)))
    queue(store, study, candidate(2))
    change = api.cancel("s", url)
    assert change.message == (
        "study s: cancelled with 2 trials queued or at work; what was measured is kept. It goes on with: tuner resume s"
    )
    assert states(store, study) == ["complete", "cancelled", "cancelled"]
    with pytest.raises(LeaseLostError):
        store.fail_trial(running, "error", "too late")


def test_retrying_queues_the_candidate_anew(store, url):
    study = stored(store)
    failed(store, study, candidate(3))
    complete(store, study, candidate(2))
    store.set_study_state(study, "finished")
    change = api.retry("s", 0, url)
    assert (change.trial, change.state) == (2, "running")
    assert change.message == f"study s: trial 0 is queued again as trial 2; {NOBODY}"
    again = store.trial(study, 2)
    assert (again.state, again.retry_of, again.hash) == (
        "queued",
        store.trial(study, 0).id,
        candidate(3).hash,
    )
    with pytest.raises(InputError, match="trial 1 of 's' is complete: only a failed one is tried again"):
        api.retry("s", 1, url)


def test_retrying_in_a_paused_study_says_how_it_goes_on(store, url):
    failed(store, study := stored(store), candidate(3))
    store.pause(study)
    assert api.retry("s", 0, url).message.endswith("the study is paused; resume it: tuner resume s")
    assert store.get_study("s").state == "paused"


def front_of_three(store, state="finished"):
    study = stored(store)
    numbers = [(candidate(6, "torch"), 1.0, 0.0), (candidate(3), 8.0, 0.01), (candidate(1), 20.0, 0.015)]
    for found, speedup, drop in numbers:
        complete(store, study, found, speedup, drop)
    held = coordinate(store, study)
    store.release_study(
        store.move_study(
            held, summary=summarise(held, store.trials(study, ("complete",)), store.spans(study))
        )
    )
    return store.set_study_state(study, state)


@pytest.mark.parametrize("state", ["finished", "running"])
def test_discarding_takes_a_trial_out_of_front_and_summary_and_keeps_it(store, url, state):
    study = front_of_three(store, state)
    assert store.get_study("s").summary["front"] == [0, 1, 2]
    change = api.discard("s", 2, " a neighbour compiled ", url)
    assert change.message == (
        "study s: trial 2 is discarded (a neighbour compiled): it stays on record only; the front has 2 points now"
    )
    after = store.get_study("s")
    assert (
        after.summary["front"] == [0, 1]
        and after.summary["best"]["trial"] == 1
        and after.epoch == study.epoch + 1
    )
    handle = StudyHandle.of(store, after)
    assert [row.number for row in handle.front_rows()] == [1, 0]
    assert handle.row(2).discarded == "a neighbour compiled" and handle.row(2).state == "complete"
    assert api.overview("s", url).studies[0].best_speedup == pytest.approx(8.0)


def test_who_coordinates_while_a_trial_is_discarded_has_the_old_view_and_loses_its_lease(store, url):
    held = coordinate(store, front_of_three(store, "running"), "w")
    api.discard("s", 2, "why", url)
    assert store.get_study("s").summary["front"] == [0, 1]
    with pytest.raises(LeaseLostError):
        store.move_study(held, summary={"front": [0, 1, 2]})


def test_who_coordinates_by_the_time_of_the_summary_makes_it_anew(store, url, monkeypatch):
    front_of_three(store, "running")
    monkeypatch.setattr(
        "tuner.service.summary.summarise",
        lambda study, trials, spans: coordinate(store, study, "w") and {"front": []},
    )
    assert api.discard("s", 2, "why", url).state == "running"
    assert store.get_study("s").summary["front"] == [0, 1, 2] and store.get_study("s").worker == "w"


def test_the_baseline_is_not_discarded(store, url):
    front_of_three(store)
    with pytest.raises(
        InputError, match="trial 0 of 's' is the baseline: every speedup and drop is held against it"
    ):
        api.discard("s", 0, "why", url)
    with pytest.raises(InputError, match="--why"):
        api.discard("s", 1, "  ", url)
    assert all(trial.discarded_at is None for trial in store.trials(store.get_study("s")))


def test_a_trial_that_is_not_over_is_not_discarded(store, url):
    study = front_of_three(store, "running")
    queue(store, study, candidate(2))
    with pytest.raises(InputError, match="trial 3 of 's' is queued"):
        api.discard("s", 3, "why", url)


def test_deleting_leaves_nothing_of_the_study_and_all_of_the_others(store, url, tmp_path):
    study, other = front_of_three(store), stored(store, spec("other"))
    complete(store, other, candidate(3))
    storage = open_optuna_storage(store)
    for name in (study.optuna_name, other.optuna_name):
        optuna.create_study(storage=storage, study_name=name)
    for name in ("s", "other"):
        (tmp_path / "home/studies" / name).mkdir(parents=True)
        (tmp_path / "home/studies" / name / "front.png").write_bytes(b"png")
    change = api.delete("s", url)
    assert (change.state, change.message) == (
        "deleted", "study s: deleted with 3 trials; what it left in the cache goes with: tuner gc",
    )  # fmt: skip
    assert [line.name for line in api.list_studies(url)] == ["other"]
    assert optuna.get_all_study_names(open_optuna_storage(store)) == [other.optuna_name]
    assert [path.name for path in (tmp_path / "home/studies").iterdir()] == ["other"]
    with store.engine.connect() as connection:
        for table in ("tuner_trial", "tuner_study"):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 1
    with pytest.raises(NotFoundError):
        api.delete("s", url)


def test_deleting_what_is_at_work_is_refused(store, url):
    study = stored(store)
    trial = claim(store, queue(store, study, candidate(3)))
    with pytest.raises(
        InputError, match=r"cannot be deleted: 1 trial of it is at work; end that first: tuner cancel s"
    ):
        api.delete("s", url)
    store.fail_trial(trial, "error", "x")
    held = coordinate(store, store.set_study_state(study, "confirming"), "w")
    with pytest.raises(InputError, match=r"worker w confirms it; end that first: tuner cancel s"):
        api.delete("s", url)
    store.release_study(held)
    fresh = store.create_study(spec("fresh").to_plain())
    coordinate(store, fresh, "w")
    with pytest.raises(InputError, match=r"worker w prepares it; .*tuner cancel fresh"):
        api.delete("fresh", url)
    api.cancel("fresh", url)
    api.delete("fresh", url)
    api.delete("s", url)
    assert api.list_studies(url) == []


def test_a_name_of_dots_removes_no_other_folder(store, url, tmp_path):
    (tmp_path / "home/studies/keep").mkdir(parents=True)
    for name in (".", ".."):  # a study file may not say so any more; an older database may hold it
        store.create_study({**spec("dots").to_plain(), "name": name}, this_host())
        api.delete(name, url)
    assert (tmp_path / "home/studies/keep").is_dir()


def test_a_change_is_json(store, url):
    stored(store)
    assert api.pause("s", url).to_json() == {
        "study": "s", "state": "paused", "message": "study s: paused. It goes on with: tuner resume s", "trial": None,
    }  # fmt: skip
