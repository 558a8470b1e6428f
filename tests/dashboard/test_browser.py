"""A person's way through the dashboard, in Debian's Chromium, on a real server, database and worker."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
ROOT = Path(__file__).parents[2]
BROWSER = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
QUIET = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READY = "[data-testid=stApp][data-test-script-state=notRunning]"
PATIENCE = 240_000  # ms for a study's next step, on a machine that others use, too

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        BROWSER is None and os.environ.get("CI") != "true", reason="there is no Chromium here"
    ),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(home, *arguments):
    """Run `tuner` beside the test, and end it softly."""
    env = {**os.environ, "TUNER_HOME": str(home), "NO_COLOR": "1"}
    env.pop("TUNER_DB", None)
    with (home / f"{arguments[0]}.log").open("wb") as log:
        command = [sys.executable, "-m", "tuner.cli.main", *arguments]
        process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def address(home):
    """A served dashboard with a worker on its database."""
    port = free_port()
    with running(home, "worker", "--name", "browser-worker"), running(home, "dashboard", "--port", str(port)):
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def chromium():
    assert BROWSER, "CI needs Chromium"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=QUIET)
        yield browser
        browser.close()


class Watch:
    """What a page asked of whom, and what it complained of."""

    def __init__(self, page):
        self.hosts, self.errors = set(), []
        page.on(
            "request",
            lambda r: self.hosts.add(r.url.split("/")[2].split(":")[0]) if r.url.startswith("http") else None,
        )
        page.on("pageerror", lambda e: self.errors.append(str(e)))
        page.on("console", self._heard)

    def _heard(self, message):
        # On a deep link Streamlit looks for itself below the page's path before it looks at the root.
        probing = "/_stcore/" in (message.location or {}).get("url", "") and "404" in message.text
        if message.type == "error" and not probing:
            self.errors.append(message.text)

    def fine(self):
        assert self.hosts <= {"127.0.0.1"}, self.hosts
        assert not self.errors, self.errors


@contextmanager
def opened(chromium, address, scheme="light"):
    context = chromium.new_context(
        viewport={"width": 1440, "height": 1000},
        color_scheme=scheme,
        timezone_id="Asia/Kolkata",
        accept_downloads=True,
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    watch = Watch(page)
    page.goto(address)
    page.wait_for_selector(READY)
    try:
        yield page
        watch.fine()
    finally:
        context.close()


def launch(page, address, name, trials):
    """Launch first-steps under a name from the launch page."""
    page.goto(f"{address}/launch")
    page.locator(".st-key-template_first-steps button").click()
    field = page.locator(".st-key-f_name input")
    sync_api.expect(field).to_have_value("first-steps")
    page.locator(".st-key-f_trials input").fill(str(trials))
    page.locator(".st-key-f_trials input").press("Enter")
    sync_api.expect(page.locator(".st-key-yaml textarea")).to_have_value(re.compile(f"trials: {trials}"))
    field.fill(name)
    field.press("Enter")
    sync_api.expect(page.locator(".st-key-yaml textarea")).to_have_value(re.compile(f"name: {name}"))
    button = page.locator(".st-key-launch button")
    sync_api.expect(button).to_be_enabled(timeout=120_000)
    button.click()
    page.wait_for_url(re.compile(rf"/study\?.*study={name}"))


def points(page):
    """Return how many trials the front's chart says it shows."""
    told = (
        page.locator(".st-key-front_chart [aria-label*=' trials']").first.get_attribute(
            "aria-label", timeout=5000
        )
        or ""
    )
    found = re.search(r"of (\d+) trials", told)
    return int(found[1]) if found else 0


def wait_for_points(page, least):
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        try:
            if (found := points(page)) >= least:
                return found
        except sync_api.Error:
            pass
        time.sleep(1)
    raise AssertionError(f"the front did not grow to {least} points")


def test_launch_watch_choose_export_and_stop(chromium, address, home, tmp_path):
    with opened(chromium, address) as page:
        launch(page, address, "watched", 4)
        first = wait_for_points(page, 1)
        page.locator(".st-key-pick_recommended button").first.click()
        sync_api.expect(page.locator(".st-key-trial input")).to_have_value(re.compile(r"\d+"))
        assert wait_for_points(page, max(first + 1, 3)) >= 3, "live refresh brings new points"
        assert re.match(r"\d+", page.locator(".st-key-trial input").input_value()), (
            "the picked point stays picked"
        )
        sync_api.expect(page.locator(".st-key-study_state")).to_contain_text("finished", timeout=PATIENCE)

        thumb = page.locator(".st-key-drop [role=slider]")
        thumb.focus()
        for _ in range(3):
            thumb.press("ArrowLeft")
        page.wait_for_url(re.compile(r"drop="))
        page.locator(".st-key-pick_recommended button").first.click()
        page.wait_for_selector(READY)
        picked = page.locator(".st-key-trial input").input_value()
        deep = page.url
        assert f"trial={picked}" in deep

        page.locator(".st-key-front_chart svg path[aria-roledescription=point]").last.click(force=True)
        page.wait_for_selector(READY)
        page.locator(".st-key-to_export button").click()
        page.wait_for_url(re.compile("/export"))
        with page.expect_download(timeout=120_000) as fetched:
            page.locator(".st-key-download_bundle a").click()
        bundle = tmp_path / "bundle.zip"
        fetched.value.save_as(bundle)
        zipfile.ZipFile(bundle).extractall(tmp_path)
        program = next(tmp_path.glob("watched-trial-*/predict.py"))
        text = "The striker scored twice as the champions won the cup final."
        done = subprocess.run(
            [sys.executable, str(program), text], capture_output=True, text=True, timeout=120, check=True
        )
        assert re.match(r"(sports|business)\s+[\d.]+", done.stdout), done.stdout
        with page.expect_download(timeout=60_000) as fetched:
            page.locator(".st-key-download_report button").click()
        report = Path(fetched.value.path()).read_text()
        assert "data:image/png;base64," in report and "watched" in report

    with opened(chromium, deep) as page:  # a fresh browser shows the same view
        sync_api.expect(page.locator(".st-key-trial input")).to_have_value(picked)
        assert page.locator(".st-key-drop [role=slider]").get_attribute("aria-valuetext") != "any"

    with opened(chromium, address) as page:
        launch(page, address, "stopped", 8)
        wait_for_points(page, 1)
        page.locator(".st-key-study_stop button").click()
        sync_api.expect(page.locator(".st-key-study_state")).to_contain_text("stopped", timeout=PATIENCE)
        sync_api.expect(page.locator(".st-key-study_resume button")).to_be_visible()


@pytest.mark.parametrize(
    "path", ["", "launch", "study?study=watched", "compare", "system", "trial?study=watched&trial=0"]
)
def test_dark_pages_are_dark_and_quiet(chromium, address, path):
    with opened(chromium, f"{address}/{path}", scheme="dark") as page:
        time.sleep(1)
        shade = page.evaluate(
            "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
        )
        assert all(int(part) < 60 for part in re.findall(r"\d+", shade)[:3]), shade
        assert "log says" not in page.inner_text("body")
