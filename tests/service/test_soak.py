"""The soak: workers that are killed at random, over and over, and started again under their names."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.service.crew import Crew, until
from tests.service.stub import stub_study
from tests.service.whole import assert_whole, left_of, noted
from tuner.store import Store


def soaked(url: str, folder: Path, workers: int, trials: int, every: float, most: int = 10_000) -> str:
    """Run a study while every so many seconds a worker, chosen at random, is killed; return the figures.

    `most`: no more kills than that.
    """
    chance, began, kills = random.Random(0), time.monotonic(), 0
    with Store.open(url) as store, Crew(url, folder, lease=5.0) as crew:
        store.create_study(stub_study("s", trials=trials, limits={"attempts": 20}))
        at_work = {name: crew.start(name, seconds=0.1, drain=False) for name in map(str, range(workers))}
        while store.get_study("s").state != "finished":
            assert time.monotonic() - began < 3 * trials, "the soak does not come to its end"
            time.sleep(every)
            if kills >= most:
                continue
            name = chance.choice(sorted(at_work))
            at_work[name].send(signal.SIGKILL)
            assert at_work[name].ended() == -signal.SIGKILL, at_work[name].said()
            at_work[name], kills = crew.start(name, seconds=0.1, drain=False), kills + 1
        took = time.monotonic() - began
        for member in at_work.values():  # one that was just started would not know the signal yet
            until(lambda pid=member.pid: pid in [w.pid for w in store.workers()], "it has signed on")
            member.send(signal.SIGTERM)
        assert [member.ended() for member in at_work.values()] == [0] * workers
        found = assert_whole(store, "s", lost=None)
        assert left_of(member.pid for member in crew.members) == []
    assert [t.state for t in found] == ["complete"] * trials
    twice = [n for n in Counter(t.hash for t in found).values() if n > 1]
    attempts = sum(t.attempt for t in found)
    return (
        f"{len(found)} results, {len(twice)} duplicates, {kills} kills, {attempts - trials} of them in a trial, "
        f"{attempts} attempts (at most {max(t.attempt for t in found)} of one trial), {took:.0f} s"
    )


def test_a_short_soak(url, tmp_path):
    soaked(url, tmp_path, workers=3, trials=15, every=0.4, most=6)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_soak(url, tmp_path):
    """4 workers, 300 trials, a random kill every second: 300 results, 0 duplicates."""
    began = time.monotonic()
    figures = soaked(url, tmp_path, workers=4, trials=300, every=1.0)
    print(noted("the soak", url.partition(":")[0], figures, began))
