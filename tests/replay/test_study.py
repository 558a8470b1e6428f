"""Replayed studies: the same candidates as the service tries, the same each time, costs paid once."""

from __future__ import annotations

import pickle

import pytest

from tests.replay.made_up import OFFERS, made_up
from tests.service.stub import stub_worker
from tuner.replay.aware import replay_aware
from tuner.replay.ledger import FOUND, Ledger
from tuner.replay.pipeline import ReplayPipeline
from tuner.replay.store import VirtualStore
from tuner.replay.study import Budget, replay
from tuner.replay.trace import Yardstick, at, time_to
from tuner.search.aware.options import Options
from tuner.search.seeds import seeds
from tuner.stage import StageRun


@pytest.fixture(scope="module")
def table():
    return made_up()


@pytest.mark.parametrize("sampler", ["random", "tpe-grouped", "stage-aware"])
def test_the_service_tries_the_same_candidates(sampler, tmp_path):
    table = made_up(sampler=sampler, budget={"trials": 22})
    pipeline, spent = served(table, tmp_path)
    trace = replayed(table, sampler, Budget(trials=22))
    assert [c.hash for c in pipeline.evaluated] == trace.hashes()
    assert trace.spent == pytest.approx(spent)


@pytest.mark.parametrize("sampler", ["random", "stage-aware"])
def test_a_budget_of_minutes_is_of_virtual_time(sampler, tmp_path):
    table = made_up(sampler=sampler, budget={"minutes": 3})
    pipeline, spent = served(table, tmp_path)
    trace = replayed(table, sampler, Budget(seconds=180))
    assert [c.hash for c in pipeline.evaluated] == trace.hashes()
    assert 180 <= spent < 240


@pytest.mark.slow
def test_a_search_ends_by_itself(tmp_path):
    table = made_up(sampler="stage-aware", budget="auto")
    pipeline, _ = served(table, tmp_path)
    curve = Yardstick(table).curve(replayed(table, "stage-aware", Budget(trials=len(pipeline.evaluated))))
    assert len(pipeline.evaluated) < table.space.size() / 4
    assert curve[-1][1] > 0.9


def served(table, folder):
    """Run a table's study through the service; return the pipeline, and the virtual seconds that it spent."""
    pipeline = ReplayPipeline(table)
    with VirtualStore.open(f"sqlite:///{folder}/t.db") as store:
        study = store.create_study(table.spec.to_plain())
        stub_worker(store, "w", pipeline, offers=OFFERS, only=study).run()
        study = store.get_study(study.name)
        assert study.state == "finished"
    return pipeline, pipeline.ledgers[study.id].now


def replayed(table, sampler, budget):
    if sampler == "stage-aware":
        options = Options(by_cost=Options().by_cost if table.spec.budget.trials is None else 0.0)
        return replay_aware(table, table.spec.seed, budget, options)
    return replay(table, sampler, table.spec.seed, budget)


def test_a_study_is_the_same_each_time(table):
    one, two = (replay(table, "tpe-grouped", seed=1, budget=Budget(trials=20)) for _ in range(2))
    assert one.hashes() == two.hashes()
    assert one.hashes() != replay(table, "tpe-grouped", seed=2, budget=Budget(trials=20)).hashes()


def test_seeds_come_first_where_they_are_wanted(table):
    wanted = [c.hash for c in seeds(table.space)]
    assert replay(table, "random", 0, Budget(trials=len(wanted))).hashes() == wanted
    assert replay(table, "random", 0, Budget(trials=len(wanted)), seeded=False).hashes() != wanted


def test_a_stage_costs_once_and_a_failure_each_time():
    ledger = Ledger()
    stages = [StageRun("build", "b", False, 3.0), StageRun("failed", "f", False, 2.0)]
    assert [s.seconds for s in ledger.pay(stages)] == [3.0, 2.0]
    assert [(s.hit, s.seconds) for s in ledger.pay(stages)] == [(True, FOUND), (False, 2.0)]
    assert ledger.now == pytest.approx(7.0 + FOUND)


def test_shares_grow_to_the_whole_front(table):
    yardstick = Yardstick(table)
    curve = yardstick.curve(replay(table, "random", 0, Budget(seconds=1e9)))
    assert curve[-1][1] == pytest.approx(1.0)
    assert [share for _, share in curve] == sorted(share for _, share in curve)
    assert time_to(curve, 0.95) <= time_to(curve, 1.0 - 1e-9)
    assert list(at(curve, [0.0, 1e9])) == [0.0, pytest.approx(1.0)]


def test_a_budget_can_be_handed_to_another_process():
    assert pickle.loads(pickle.dumps(Budget(60.0))) == Budget(60.0)
