"""Signing in for real: a provider on this machine, the served dashboard, a browser; and what each role may do."""

import os
from contextlib import contextmanager

import pytest

pytest.importorskip("authlib")
sync_api = pytest.importorskip("playwright.sync_api")
from tests.dashboard import driving, fill  # noqa: E402
from tests.dashboard.driving import BROWSER, READY, free_port  # noqa: E402
from tests.dashboard.provider import provided, secrets_toml  # noqa: E402

OPERATOR, VIEWER = "boss@example.org", "guest@example.org"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None and os.environ.get("CI") != "true", reason="there is no Chromium here"
    ),
]


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
    environment = {
        "HOME": str(home),
        "TUNER_DASHBOARD_OPERATORS": f"someone@example.org, {OPERATOR.upper()}",
        "PYTHONPATH": os.pathsep.join([str(driving.ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    # All addresses, as a server for others would: without the login it would not start.
    with driving.dashboard(home, "--host", "0.0.0.0", port=port, cwd=home, **environment) as served:
        yield served
    print((home / "dashboard.log").read_text()[-3000:])


@pytest.fixture(scope="module")
def chromium():
    with driving.chromium() as browser:
        yield browser


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
