"""Signing in for real: a provider on this machine, the served dashboard, a browser; and what each role may do."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("authlib")
sync_api = pytest.importorskip("playwright.sync_api")
from tests.dashboard import fill  # noqa: E402
from tests.dashboard.provider import provided, secrets_toml  # noqa: E402

ROOT = Path(__file__).parents[2]
BROWSER = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
QUIET = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"]
READY = "[data-testid=stApp][data-test-script-state=notRunning]"
OPERATOR, VIEWER = "boss@example.org", "guest@example.org"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None and os.environ.get("CI") != "true", reason="there is no Chromium here"
    ),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def provider():
    with provided(free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def address(provider, tmp_path_factory):
    """A dashboard that asks people to sign in, with one study that waits."""
    home, port = tmp_path_factory.mktemp("login"), free_port()
    with fill.open_store(home) as store:
        fill.queued(store, "waiting")
    (home / ".streamlit").mkdir()
    (home / ".streamlit" / "secrets.toml").write_text(secrets_toml(provider, port))
    env = {
        **os.environ,
        "TUNER_HOME": str(home),
        "HOME": str(home),
        "NO_COLOR": "1",
        "TUNER_DASHBOARD_OPERATORS": f"someone@example.org, {OPERATOR.upper()}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    env.pop("TUNER_DB", None)
    # All addresses, as a server for others would: without the login it would not start.
    command = [sys.executable, "-m", "tuner.cli.main", "dashboard", "--host", "0.0.0.0", "--port", str(port)]
    with (home / "dashboard.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, cwd=home, stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + 90
            while time.monotonic() < deadline and process.poll() is None:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.3)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    print((home / "dashboard.log").read_text()[-3000:])


@pytest.fixture(scope="module")
def chromium():
    assert BROWSER, "CI needs Chromium"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=QUIET)
        yield browser
        browser.close()


@contextmanager
def somebody(chromium, address, path="study?study=waiting"):
    """A fresh browser at the door."""
    context = chromium.new_context(viewport={"width": 1300, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{address}/{path}")
    page.wait_for_selector(READY)
    try:
        yield page
    finally:
        context.close()


def sign_in(page, address):
    page.get_by_role("button", name="Sign in").click()
    sync_api.expect(page.get_by_role("button", name="Sign out")).to_be_visible(timeout=60_000)
    page.goto(f"{address}/study?study=waiting")
    page.wait_for_selector(READY)
    sync_api.expect(page.get_by_role("button", name="Sign out")).to_be_visible(timeout=60_000)


def test_who_did_not_sign_in_sees_nothing(chromium, address):
    for path in ("", "study?study=waiting", "launch", "system"):
        with somebody(chromium, address, path) as page:
            sync_api.expect(page.get_by_role("button", name="Sign in")).to_be_visible()
            assert "waiting" not in page.inner_text("body")


def test_an_operator_may_steer(chromium, address, provider):
    provider.person = {"email": OPERATOR, "email_verified": True, "name": "Boss"}
    with somebody(chromium, address) as page:
        sign_in(page, address)
        sync_api.expect(page.locator(".st-key-study_pause button").first).to_be_visible()
        assert provider.asked and "openid" in provider.asked[-1]
        page.get_by_role("button", name="Sign out").click()
        sync_api.expect(page.get_by_role("button", name="Sign in")).to_be_visible()


@pytest.mark.parametrize(
    "person",
    [
        {"email": VIEWER, "email_verified": True},
        {"email": OPERATOR, "email_verified": False},  # anybody can claim an address
        {"name": OPERATOR},
    ],
)
def test_all_others_may_look(chromium, address, provider, person):
    provider.person = person
    with somebody(chromium, address) as page:
        sign_in(page, address)
        sync_api.expect(page.get_by_text("View only").first).to_be_visible()
        assert page.locator(".st-key-study_pause button").count() == 0
        page.goto(f"{address}/launch")
        sync_api.expect(page.locator(".st-key-launch button").first).to_be_disabled()


def test_who_the_provider_refuses_stays_outside(chromium, address, provider):
    provider.person = {}
    with somebody(chromium, address) as page:
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_timeout(3000)
        page.wait_for_selector(READY)
        sync_api.expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_a_forged_cookie_is_no_login(chromium, address):
    context = chromium.new_context()
    forged = "2|1:0|10:1764000000|15:_streamlit_user|40:eyJpc19sb2dnZWRfaW4iOnRydWV9|" + "0" * 64
    context.add_cookies([{"name": "_streamlit_user", "value": forged, "url": address}])
    page = context.new_page()
    page.goto(f"{address}/study?study=waiting")
    page.wait_for_selector(READY)
    sync_api.expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=60_000)
    context.close()
