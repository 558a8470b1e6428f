"""`tuner serve` as a user meets it: the standard client, signals, what it says."""

import contextlib
import json
import logging
import shutil
import signal
import socket
import threading
import time

import httpx
import openai
import pytest

from tests.serving.conftest import CHAT, hello, wait_for
from tests.tiny_chat import built_artefact, content
from tuner.cli.main import main
from tuner.export.bundle import write_bundle


def client_of(child, **more):
    return openai.OpenAI(
        base_url=f"{child.url}/v1", api_key="sesame", max_retries=0,
        http_client=httpx.Client(trust_env=False, timeout=20), **more,
    )  # fmt: skip


def requests_of(child):
    return [line for text in child.lines if (line := json.loads(text))["message"] == "request"]


@pytest.fixture(params=["quick", "llama-cpp", pytest.param("torch", marks=pytest.mark.slow)])
def tiny(request, quick, tmp_path):
    """The quick bundle, and a Llama on two engines, of which llama.cpp answers several together."""
    if request.param == "quick":
        return quick
    if request.param == "llama-cpp":
        pytest.importorskip("llama_cpp")
    return write_bundle(content(tmp_path, *built_artefact(tmp_path, request.param)), tmp_path / "tiny")


def test_the_standard_client(child, tiny):
    server = child(tiny, environment={"TUNER_API_KEY": "sesame"})
    client = client_of(server)
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 12}
    whole = client.chat.completions.create(**asked)
    text = whole.choices[0].message.content
    assert text and whole.choices[0].finish_reason == "length" and whole.usage.completion_tokens == 12
    stream = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text
    assert chunks[-1].usage == whole.usage
    assert [m.id for m in client.models.list()] == ["tiny"]
    assert client.completions.create(model="tiny", prompt="the", max_tokens=3).choices[0].text
    with pytest.raises(openai.BadRequestError, match="do not fit") as caught:
        client.chat.completions.create(**{**asked, "max_tokens": 10_000})
    assert caught.value.code == "context_length_exceeded" and caught.value.param == "messages"
    with pytest.raises(openai.NotFoundError, match="only 'tiny'"):
        client.chat.completions.create(**{**asked, "model": "gpt-5"})
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="open").models.list()
    assert server.end(signal.SIGTERM) == 0
    logged = requests_of(server)
    assert [line["status"] for line in logged] == [200, 200, 200, 200, 400, 404, 401]
    assert logged[1]["stream"] is True and logged[1]["completion_tokens"] == 12
    assert not any("sesame" in line or "hello" in line for line in server.lines)


def streamed(server, most, found):
    """Read a long answer in a thread, into `found`."""

    def read():
        body = hello(max_tokens=most, stream=True)
        url = f"{server.url}{CHAT}"
        with (
            contextlib.suppress(httpx.RemoteProtocolError),  # cut off
            httpx.stream("POST", url, json=body, timeout=30, trust_env=False) as response,
        ):
            found.extend(line for line in response.iter_lines() if line)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    wait_for(lambda: len(found) > 3)
    return thread


def test_sigterm_lets_the_answers_end_and_sends_away_who_waits(child, slow):
    server = child(slow)
    found, refused = [], []
    answer = streamed(server, 60, found)
    waiting = threading.Thread(
        target=lambda: refused.append(httpx.post(f"{server.url}{CHAT}", json=hello(), trust_env=False))
    )
    waiting.start()
    wait_for(lambda: httpx.get(f"{server.url}/healthz", trust_env=False).json()["waiting"] == 1)
    start = time.monotonic()
    assert server.end(signal.SIGTERM) == 0
    assert time.monotonic() - start < 10
    answer.join(5)
    waiting.join(5)
    assert found[-1] == "data: [DONE]" and len(found) > 25
    assert refused[0].status_code == 503 and refused[0].json()["error"]["code"] == "shutting_down"
    assert [json.loads(line)["message"] for line in server.lines] == ["ready", "ending", "request", "request"]


def test_an_answer_that_outlasts_the_grace_is_cut_off(child, slow):
    server = child(slow, "--grace", "1")
    found = []
    streamed(server, 1500, found)
    start = time.monotonic()
    assert server.end(signal.SIGTERM) == 0
    assert time.monotonic() - start < 6 and "data: [DONE]" not in found


def test_ctrl_c(child, slow):
    server = child(slow)
    found = []
    answer = streamed(server, 30, found)
    assert server.end(signal.SIGINT) == 130
    answer.join(5)
    assert found[-1] == "data: [DONE]"


def test_a_second_ctrl_c_ends_at_once(child, slow):
    server = child(slow)
    streamed(server, 1500, [])
    server.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    start = time.monotonic()
    assert server.end(signal.SIGINT) == 130
    assert time.monotonic() - start < 5


# -- what it refuses, in one line


@pytest.fixture
def said(capsys, monkeypatch):
    monkeypatch.delenv("TUNER_API_KEY", raising=False)
    root, term = logging.getLogger(), signal.getsignal(signal.SIGTERM)
    before = root.handlers, root.level

    def run(*arguments):
        code = main(["serve", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1
        return code, err

    yield run
    root.handlers, root.level = before
    signal.signal(signal.SIGTERM, term)


def test_no_bundle(said, tmp_path):
    assert said(tmp_path) == (4, f"{tmp_path}: no bundle there (it has no bundle.json)\n")


def test_a_bundle_whose_engine_is_not_installed(said, folder, quick):
    other = shutil.copytree(quick, folder / "other")
    session = other / "artefact" / "tiny_session.py"
    session.write_text("import no_such_engine\n" + session.read_text())
    code, err = said(other, "--port", 0)
    assert code == 2 and "No module named 'no_such_engine'" in err and "pip install -r" in err


def test_a_bundle_that_is_broken(said, folder, quick):
    other = shutil.copytree(quick, folder / "torn")
    (other / "bundle.json").write_text("{")
    code, err = said(other, "--port", 0)
    assert code == 2 and "cannot be loaded" in err


def test_a_port_that_is_taken(said, quick):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, err = said(quick, "--port", port)
    assert code == 2 and f"127.0.0.1:{port}: cannot listen there" in err


def test_others_need_a_key(said, quick, monkeypatch):
    code, err = said(quick, "--host", "0.0.0.0")
    assert code == 2 and "TUNER_API_KEY" in err
    code, err = said(quick, "--api-key", " ")
    assert code == 2 and "is empty" in err
