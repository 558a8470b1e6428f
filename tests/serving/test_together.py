"""Several clients of one session: llama.cpp answers them together, a real (tiny, random) Llama over HTTP."""

import asyncio
import concurrent.futures
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from tests.serving.conftest import CHAT, events, health, hello, listening, wait_for
from tests.tiny_chat import LIVELY, built_artefact, content
from tuner.export.bundle import write_bundle
from tuner.runtime.answering import Asked, Chat
from tuner.runtime.sampling import Sampling
from tuner.serving.batching import Batcher, Slot, seats_of
from tuner.serving.pool import Pool, Seat

pytest.importorskip("llama_cpp")
WORDS = [
    "hello",
    "the bank lends",
    "a striker",
    "you help",
    "system and user",
    "scored",
    "and",
    "assistant " * 30,
]
LONG = 1800  # tokens: some seconds


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    made, source = built_artefact(folder, "llama-cpp", **LIVELY)
    whole = content(folder, made, source)
    endless = {**whole.facts, "stop_token_ids": []}  # a random model ends whenever it likes
    return write_bundle(replace(whole, facts=endless), folder / "tiny")


@pytest.fixture(scope="module")
def chat(llama):
    return Chat.read(llama)


@pytest.fixture(scope="module")
def session(chat):
    return chat.load()


@pytest.fixture
def batcher(session):
    with ThreadPoolExecutor(1) as thread:
        yield Batcher(session, 4, thread)


@pytest.fixture
def client(llama):
    with listening(llama, slots=8) as opened:
        yield opened


def said(chat, session, word, **asked):
    """Return what a bundle answers to a word when nobody else asks."""
    prompt = chat.prompt([{"role": "user", "content": word}])
    return "".join(chat.answer(session, prompt, Asked(**asked)))


def test_eight_clients_hear_what_each_would_hear_alone(client, chat, session):
    def ask(number):
        drawn = {"temperature": 1.0, "seed": 5} if number == 3 else {}
        body = hello(WORDS[number], max_tokens=20 + number, stream=number % 2 == 0, **drawn)
        answer = httpx.post(client.base_url.join(CHAT), json=body, timeout=60, trust_env=False)
        if number % 2:
            return answer.json()["choices"][0]["message"]["content"]
        chunks = [chunk for chunk in events(answer.iter_lines()) if chunk != "[DONE]"]
        return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)

    assert health(client) == {"status": "ok", "sessions": 1, "slots": 8, "busy": 0, "waiting": 0}
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, range(8)))
    drawn = {3: {"sampling": Sampling(temperature=1.0, seed=5)}}
    assert found == [said(chat, session, WORDS[i], most=20 + i, **drawn.get(i, {})) for i in range(8)]
    assert len(set(found)) == 8


def test_who_hangs_up_frees_a_slot_and_the_others_go_on(llama, chat, session):
    with listening(llama, slots=2, queue=0) as client, ThreadPoolExecutor(1) as aside:
        url = client.base_url.join(CHAT)
        with client.stream("POST", CHAT, json=hello(max_tokens=LONG, stream=True)) as response:
            lines = response.iter_lines()
            next(lines)
            body = hello(WORDS[1], max_tokens=900)
            other = aside.submit(lambda: httpx.post(url, json=body, timeout=60, trust_env=False))
            wait_for(lambda: health(client)["busy"] == 2)
            assert client.post(CHAT, json=hello()).status_code == 429
        wait_for(lambda: health(client)["busy"] < 2, 5.0)
        answer = other.result().json()["choices"][0]["message"]["content"]
    # As a chaotic model reads its own answer, roundings grow: far on, another token may be the likeliest.
    assert answer[:80] == said(chat, session, WORDS[1], most=900)[:80]


def test_whoever_stops_listening_leaves_nothing_in_the_cache(batcher):
    slots = [Slot(batcher) for _ in range(3)]
    streams = [slot.stream([5, 6, 7 + i], LONG) for i, slot in enumerate(slots)]
    for stream in streams:
        next(stream)
    assert batcher._batch.held >= 9
    for stream in streams:
        stream.close()
    wait_for(lambda: batcher._batch.held == 0 and not batcher._is_working)
    assert len(list(slots[0].stream([5, 6, 7], 4))) == 4


def test_the_line_is_there_for_engines_that_answer_one_at_a_time(quick, llama):
    with listening(quick, slots=8) as client:
        assert health(client)["slots"] == 1
    with listening(llama, slots=2, replicas=2) as client:
        assert (health(client)["sessions"], health(client)["slots"]) == (2, 4)


def test_a_step_that_fails_is_told_to_all_and_the_next_are_answered(batcher, session, monkeypatch):
    cache, expected = batcher._batch._cache, list(session.stream([9, 8, 7], 6))
    streams = [Slot(batcher).stream([9, 8, 7], LONG) for _ in range(2)]
    for stream in streams:
        next(stream)

    def broken(rows):
        monkeypatch.undo()
        raise RuntimeError("the engine ran into a wall")

    monkeypatch.setattr(cache, "decoded", broken)
    for stream in streams:
        with pytest.raises(RuntimeError, match="into a wall"):
            list(stream)
    assert list(Slot(batcher).stream([9, 8, 7], 6)) == expected
    assert batcher._batch.held == 0


def test_one_request_that_fails_leaves_the_others_alone(batcher, session):
    def broken(logits):
        raise ZeroDivisionError("no way to choose")

    good = Slot(batcher).stream([9, 8, 7], 40)
    first = next(good)
    with pytest.raises(ZeroDivisionError):
        list(Slot(batcher).stream([3, 4], 10, choose=broken))
    with pytest.raises(ValueError, match="more than the"):
        Slot(batcher).stream([3, 4], 10_000)
    assert [first, *good] == list(session.stream([9, 8, 7], 40))


def test_the_replica_with_the_least_to_do_is_next():
    async def come_and_go():
        pool = Pool([Seat(None, None, replica) for replica in (0, 0, 1, 1)], queue=0)
        first, second = await pool.enter(), await pool.enter()
        assert {first.replica, second.replica} == {0, 1}
        third = await pool.enter()
        pool.leave(next(seat for seat in (first, second) if seat.replica == third.replica))
        pool.leave(third)
        assert (await pool.enter()).replica == third.replica and pool.busy == 2

    asyncio.run(come_and_go())


def test_a_session_that_cannot_is_one_seat(quick):
    session = Chat.read(quick).load()
    with ThreadPoolExecutor(1) as thread:
        assert [seat.session for seat in seats_of(session, thread, 0, 8)] == [session]


def test_as_many_as_come_and_go(client):
    """Forty answers over eight slots, a third of them hung up on."""

    def ask(number):
        body = hello(WORDS[number % 8], max_tokens=30, stream=True)
        with httpx.stream(
            "POST", client.base_url.join(CHAT), json=body, timeout=60, trust_env=False
        ) as response:
            lines = response.iter_lines()
            if number % 3 == 0:
                next(lines)
                return None
            return [line for line in lines if line][-1]

    with ThreadPoolExecutor(8) as threads:
        ended = [
            work.result()
            for work in concurrent.futures.as_completed(threads.submit(ask, i) for i in range(40))
        ]
    assert set(ended) == {None, "data: [DONE]"}
    wait_for(lambda: health(client)["busy"] == 0)
