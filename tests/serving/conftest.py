"""Servers: in this process on a free port, where nothing is about signals, and as `tuner serve` where something is."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import structlog
import uvicorn

from tests.tiny_chat import bundle as tiny_bundle
from tuner.serving.app import open_bundle
from tuner.serving.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
CHAT = "/v1/chat/completions"


def hello(text="hello", **more):
    """Return the body of a request."""
    return {"model": "tiny", "messages": [{"role": "user", "content": text}], "max_tokens": 8, **more}


@contextlib.contextmanager
def listening(bundle, **settings):
    """Serve a bundle from a thread of this process; yield a client."""
    service = open_bundle(bundle, Settings(**{"name": "tiny", **settings}))
    server = uvicorn.Server(
        uvicorn.Config(service.app, port=0, lifespan="off", log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)


def wait_for(true, seconds=15.0):
    """Wait until something is so; fail if it does not become so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)


def health(client):
    return client.get("/healthz").json()


def events(lines):
    """Return the data of server-sent events, parsed but for [DONE]."""
    data = [line.removeprefix("data: ") for line in lines if line]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


@pytest.fixture(autouse=True)
def no_log():
    """Keep the log of servers in this process, which nobody reads, out of the tests' output."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def quick(folder):
    """A bundle that answers at once."""
    return tiny_bundle(folder / "quick")


@pytest.fixture(scope="module")
def slow(folder):
    """A bundle that takes 20 ms for a token."""
    return tiny_bundle(folder / "slow", pause=0.02)


class Child:
    """A `tuner serve` of its own, with what it says."""

    def __init__(self, bundle, *options, environment=None):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tuner.cli.main", "serve", str(bundle), "--port", "0", "--log-format", "json",
             *options],
            stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **(environment or {})},
            # Who starts tests in the background hands them an ignored SIGINT.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        first = self.process.stderr.readline()
        assert "tuner serve: " in first, first + self.process.stderr.read()
        self.url = first.partition(" on ")[2].partition("/v1")[0]
        self.lines = []
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True)
        self._reader.start()

    def end(self, number, seconds=20):
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.ended(seconds)

    def ended(self, seconds=20):
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code


@pytest.fixture
def child():
    """Return a function that starts `tuner serve`."""
    started = []

    def start(*arguments, **more):
        started.append(Child(*arguments, **more))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
