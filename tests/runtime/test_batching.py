"""Continuous batching on a real (tiny, random) Llama in llama.cpp: who shares a batch is answered as if alone."""

import random

import pytest

from tests.tiny_chat import LIVELY, built_artefact
from tuner.measure.calls import calls_of
from tuner.runtime.loader import load_session
from tuner.runtime.sampling import Sampling

pytest.importorskip("llama_cpp")
MOST = 30


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return load_session(built_artefact(tmp_path_factory.mktemp("llama"), "llama-cpp", **LIVELY)[0], 1)


@pytest.fixture(scope="module")
def prompts():
    rng = random.Random(1)
    return [[rng.randrange(3, 290) for _ in range(length)] for length in (5, 30, 200, 8, 70, 3, 130, 12)]


@pytest.fixture(scope="module")
def alone(session, prompts):
    return [list(session.stream(prompt, MOST)) for prompt in prompts]


def told(batch, most=1000):
    """Step until nobody is left; return the tokens of each."""
    found, steps = {}, 0
    while (said := batch.step()) or batch.held:
        for one in said:
            assert one.error is None
            found.setdefault(one.number, []).append(one.token)
        steps += 1
        assert steps < most
    return found


def test_eight_together_are_answered_as_each_alone(session, prompts, alone):
    assert all(len(set(answer)) > 5 for answer in alone)  # else it would prove little
    batch = session.batch(8)
    numbers = [batch.add(prompt, MOST) for prompt in prompts]
    found = told(batch)
    assert [found[number] for number in numbers] == alone
    with pytest.raises(ValueError, match="are more than the"):
        batch.add(prompts[0], 10_000)


def test_who_joins_and_leaves_changes_nobody_elses_answer(session, prompts, alone):
    batch, found, numbers, left = session.batch(3), {}, {}, list(range(8))
    for step in range(1000):
        inside = [number for number in numbers if len(found.get(number, [])) < MOST]
        while left and len(inside) < 3:
            inside.append(batch.add(prompts[left[0]], MOST))
            numbers[inside[-1]] = left.pop(0)
        if step == 4:  # one that nobody waits for any more
            gone = inside[0]
            batch.drop(gone)
            del numbers[gone]
        for one in batch.step():
            found.setdefault(one.number, []).append(one.token)
        if not left and not batch.held:
            break
    assert [(which, found[number]) for number, which in numbers.items()] == [
        (which, alone[which]) for which in numbers.values()
    ]
    assert len(numbers) == 7 and len(found[gone]) < MOST


def test_a_batch_has_so_many_slots_and_each_is_used_again(session, prompts):
    batch = session.batch(2)
    first = batch.add(prompts[0], 4)
    batch.add(prompts[1], 4)
    with pytest.raises(ValueError, match="all 2 slots are taken"):
        batch.add(prompts[2], 4)
    batch.drop(first)
    batch.add(prompts[2], 4)
    told(batch)
    assert batch.step() == []


def test_each_has_its_own_sampling_and_stop_tokens(session, prompts, alone):
    drawn = Sampling(temperature=1.0, top_p=0.9, seed=7)
    single = list(session.stream(prompts[1], MOST, (), drawn.chooser(prompts[1])))
    stop = alone[3][10]
    batch = session.batch(8)
    numbers = [
        batch.add(prompts[0], MOST),
        batch.add(prompts[1], MOST, (), drawn.chooser(prompts[1])),
        batch.add(prompts[3], MOST, (stop,)),
        batch.add(prompts[4], 3),
    ]
    found = told(batch)
    assert found[numbers[0]] == alone[0] and found[numbers[1]] == single
    assert found[numbers[2]] == [*alone[3][: alone[3].index(stop)], None]
    assert found[numbers[3]] == alone[4][:3]


def test_nobody_stands_still_while_a_long_prompt_is_read(session, prompts, alone):
    batch = session.batch(2)
    first = batch.add(prompts[0], MOST)
    batch.step()
    second, said = batch.add(prompts[2] * 4, 5), []
    while not any(one.number == second for one in said):
        said = batch.step()
        assert first in [one.number for one in said]
    assert batch.held >= 800  # and it took several steps, in each of which the first was answered


def test_where_the_cache_is_full_the_last_give_way_and_are_answered_later(session, prompts, alone):
    batch = session.batch(8)
    batch._most = 300  # tokens for all: the eight need 700
    numbers = [batch.add(prompt, MOST) for prompt in prompts]
    found, most = {}, 0
    while len([n for n in numbers if len(found.get(n, [])) == MOST]) < 8:
        for one in batch.step():
            found.setdefault(one.number, []).append(one.token)
        most = max(most, batch.held)
    assert [found[number] for number in numbers] == alone and 200 < most <= 300


def test_a_choice_that_fails_is_its_own_requests_alone(session, prompts, alone):
    batch = session.batch(2)

    def broken(logits):
        raise ZeroDivisionError("no way to choose")

    good, bad = batch.add(prompts[0], MOST), batch.add(prompts[1], MOST, (), broken)
    found = {}
    while len(found.get(good, [])) < MOST:
        for one in batch.step():
            found.setdefault(one.number, []).append(one.error or one.token)
    assert found[good] == alone[0] and len(found[bad]) == 1 and isinstance(found[bad][0], ZeroDivisionError)


def test_clients_that_share_a_session_are_measured_together(session, prompts):
    import numpy as np

    arrays = {"prompts": np.array([prompt[:3] for prompt in prompts]), "new_tokens": np.array(6)}
    together = calls_of(session, arrays, clients=8, slots=3).one(0)
    assert together["answers"] == 8 and len(together["itl"]) == 5 and together["ttft"] > 0
