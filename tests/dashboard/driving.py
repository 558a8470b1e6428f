"""A real `tuner dashboard`, and Chromium on it: what the browser tests, pictures and timings have in common."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

ROOT = Path(__file__).parents[2]
_NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in _NAMES if (found := shutil.which(name))), None)
#: No sandbox: root has none in a container. No requests of the browser's own: every host that is asked counts.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READY = "[data-testid=stApp][data-test-script-state=notRunning]"
Scheme = Literal["light", "dark"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser."""
    assert BROWSER, "there is no Chromium here"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=_ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def running(
    home: Path, *arguments: str, cwd: Path = ROOT, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `tuner` on a home of its own, its output in a log there, and end it softly."""
    own = {"TUNER_HOME": str(home), "TUNER_QUIET": str(home / "quiet"), "NO_COLOR": "1"}
    env = {**os.environ, **own, **environment}
    env.pop("TUNER_DB", None)
    with (home / f"{arguments[0]}.log").open("wb") as log:
        command = [sys.executable, "-m", "tuner.cli.main", *arguments]
        process = subprocess.Popen(command, env=env, cwd=cwd, stdout=log, stderr=log, start_new_session=True)
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def dashboard(
    home: Path, *options: str, port: int | None = None, cwd: Path = ROOT, **environment: str
) -> Iterator[str]:
    """Serve the dashboard, on a free port if none is given; yields its address once it answers."""
    port = port or free_port()
    command = ("dashboard", "--port", str(port), *options)
    with running(home, *command, cwd=cwd, **environment) as process:
        deadline = time.monotonic() + 180
        while not _answers(port):
            assert process.poll() is None, (home / "dashboard.log").read_text()
            assert time.monotonic() < deadline, "the dashboard does not answer"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Watch:
    """What a page asked of whom, and what it complained of."""

    def __init__(self, page: Page) -> None:
        self.hosts: set[str] = set()
        self.errors: list[str] = []
        page.on("request", lambda asked: self._asked(asked.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._heard)

    def _asked(self, url: str) -> None:
        if re.match(r"(http|ws)s?:", url):
            self.hosts.add(url.split("/")[2].split(":")[0])

    def _heard(self, message: ConsoleMessage) -> None:
        # On a deep link Streamlit looks for itself below the page's path before it looks at the root.
        probing = "/_stcore/" in (message.location or {}).get("url", "") and "404" in message.text
        if message.type == "error" and not probing:
            self.errors.append(message.text)

    def fine(self) -> None:
        """Assert that nobody else was asked and that nothing was complained of."""
        assert self.hosts <= {"127.0.0.1"}, self.hosts
        assert not self.errors, self.errors


@contextmanager
def opened(
    browser: Browser, address: str, scheme: Scheme = "light", patience_s: float = 60
) -> Iterator[Page]:
    """Open an address in a fresh browser, and see to it at the end that the page was quiet."""
    size: Any = {"width": 1440, "height": 1000}
    context = browser.new_context(viewport=size, color_scheme=scheme, timezone_id="Asia/Kolkata")
    context.set_default_timeout(patience_s * 1000)
    page = context.new_page()
    watch = Watch(page)
    try:
        page.goto(address)
        page.wait_for_selector(READY)
        yield page
        watch.fine()
    finally:
        context.close()
