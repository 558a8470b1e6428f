"""What goes wrong: clients that hang up, a full line, engines that break, answers that take too long."""

import concurrent.futures
import contextlib
import socket
import time

import httpx
import pytest

from tests.serving.conftest import CHAT, events, health, hello, listening, wait_for
from tests.tiny_chat import bundle

LONG = hello(max_tokens=1500, stream=True)  # half a minute of the slow bundle's


@pytest.fixture
def client(slow):
    with listening(slow, queue=2) as opened:
        yield opened


@pytest.fixture
def aside():
    """Return a function that posts from another thread, with a client of its own."""
    with concurrent.futures.ThreadPoolExecutor(8) as threads:

        def post(client, body):
            url = client.base_url.join(CHAT)
            return threads.submit(lambda: httpx.post(url, json=body, timeout=20, trust_env=False))

        yield post


@contextlib.contextmanager
def under_way(client):
    """Have a long answer streamed meanwhile."""
    with client.stream("POST", CHAT, json=LONG) as response:
        lines = response.iter_lines()  # held: httpx closes a response whose lines nobody holds
        next(lines)
        yield


def is_free(client):
    return health(client) == {"status": "ok", "sessions": 1, "slots": 1, "busy": 0, "waiting": 0}


def test_who_hangs_up_within_a_stream_frees_the_session_at_once(client):
    with under_way(client):
        assert health(client)["busy"] == 1
    wait_for(lambda: is_free(client), 1.0)
    assert client.post(CHAT, json=hello(max_tokens=2)).status_code == 200


def test_who_hangs_up_while_waiting_for_a_whole_answer_frees_the_session(client):
    with pytest.raises(httpx.ReadTimeout):
        client.post(CHAT, json={**LONG, "stream": False}, timeout=0.3)
    wait_for(lambda: is_free(client), 1.0)


def test_who_hangs_up_in_the_line_leaves_it(client):
    with under_way(client):
        with pytest.raises(httpx.ReadTimeout):
            client.post(CHAT, json=hello(), timeout=0.3)
        wait_for(lambda: health(client)["waiting"] == 0, 1.0)
    wait_for(lambda: is_free(client), 1.0)


def test_a_connection_that_breaks_off(client):
    """Not closed in good order: reset."""
    host, port = client.base_url.host, client.base_url.port
    body = httpx.Request("POST", "http://x", json=LONG).content
    with socket.create_connection((host, port)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        raw.sendall(f"{head}\r\n\r\n".encode() + body)
        assert b"200 OK" in raw.recv(1000)
    wait_for(lambda: is_free(client), 1.0)


def test_the_line_is_served_in_order_and_is_not_endless(client, aside):
    with under_way(client):
        waiting = []
        for number in range(2):
            waiting.append(aside(client, hello(max_tokens=20)))
            wait_for(lambda n=number: health(client)["waiting"] == n + 1)
        refused = client.post(CHAT, json=hello())
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
        error = refused.json()["error"]
        assert error["code"] == "queue_full" and "2 requests are waiting" in error["message"]
    concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
    assert waiting[0].done() and not waiting[1].done()
    assert [w.result().status_code for w in waiting] == [200, 200]
    wait_for(lambda: is_free(client))


def test_several_sessions_answer_at_a_time(slow, aside):
    with listening(slow, replicas=3, queue=0) as client:
        answers = [aside(client, hello(max_tokens=50)) for _ in range(3)]
        wait_for(lambda: health(client)["busy"] == 3)
        assert client.post(CHAT, json=hello()).status_code == 429
        texts = {w.result().json()["choices"][0]["message"]["content"] for w in answers}
        assert len(texts) == 1  # conversations do not mix


def test_an_answer_that_takes_too_long(slow, aside):
    with listening(slow, timeout=0.5) as client:
        found = client.post(CHAT, json=hello(max_tokens=500))
        assert found.status_code == 504 and "within 0.5 s" in found.json()["error"]["message"]
        wait_for(lambda: is_free(client), 1.0)
        chunks = events(client.post(CHAT, json=hello(max_tokens=500, stream=True)).iter_lines())
        assert chunks[-1]["error"]["code"] == "timeout" and "choices" in chunks[-2]
        wait_for(lambda: is_free(client), 1.0)


def test_waiting_counts_to_the_time_of_a_request(slow):
    with listening(slow, timeout=0.4) as client, under_way(client):
        start = time.monotonic()
        assert client.post(CHAT, json=hello(max_tokens=200)).status_code == 504
        assert time.monotonic() - start < 2


def test_an_engine_that_breaks(folder):
    with listening(bundle(folder / "broken", fail=3)) as client:
        found = client.post(CHAT, json=hello(max_tokens=40))
        assert found.status_code == 500 and "ran into a wall" in found.json()["error"]["message"]
        chunks = events(client.post(CHAT, json=hello(max_tokens=40, stream=True)).iter_lines())
        assert chunks[-1]["error"]["type"] == "server_error" and "[DONE]" not in chunks
        assert is_free(client) and client.post(CHAT, json=hello(max_tokens=2)).status_code == 200
