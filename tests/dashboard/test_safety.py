"""Safe by default: binding, roles, sources, tickets, reports."""

import io
import time
import zipfile

import pytest

from dashboard import settings
from tests.dashboard.conftest import HOSTILE
from tests.service.studies import tuner
from tuner.cli.dashboard import dashboard, has_login, is_local
from tuner.errors import InputError, NotFoundError
from tuner.service.bundling import Tickets, zipped
from tuner.service.desk import VERBS, Desk
from tuner.service.drafts import check, refusal, study_text, templates, with_value
from tuner.service.handle import StudyHandle
from tuner.service.local import start_worker
from tuner.service.report import report_html
from tuner.service.roles import NotAllowedError

GOOD = "name: a\nmodel: {source: owner/model}\ndata: {source: owner/data}\nbudget: {trials: 2}\n"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_a_public_bind_without_a_login_is_refused(tmp_path, host):
    done = tuner(tmp_path, "dashboard", "--host", host)
    assert done.returncode == 2 and "--allow-public" in done.stderr and not done.stdout


def test_what_is_local_and_what_is_a_login(tmp_path, monkeypatch):
    assert all(map(is_local, ("127.0.0.1", "localhost", "::1", "127.8.8.8")))
    assert not any(map(is_local, ("0.0.0.0", "10.0.0.1", "evil.localhost")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not has_login()
    (tmp_path / ".streamlit").mkdir()
    secrets = tmp_path / ".streamlit" / "secrets.toml"
    for text in (
        "[auth",
        '[auth]\ncookie_secret = "x"\nredirect_uri = "y"\n',  # whoever guesses it is whoever they like
        '[auth]\ncookie_secret = "0123456789abcdef"\n',
    ):
        secrets.write_text(text)
        assert not has_login()
    secrets.write_text('[auth]\ncookie_secret = "0123456789abcdef"\nredirect_uri = "y"\n')
    assert has_login()


def test_a_login_that_nobody_could_use_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tuner.cli.dashboard.has_login", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="nobody could sign in"):
        dashboard()


@pytest.mark.parametrize(
    ("person", "role"),
    [
        ({"email": "Boss@example.org", "email_verified": True}, "operator"),
        ({"email": "boss@example.org"}, "operator"),  # not all providers say whether it is verified
        ({"email": "boss@example.org", "email_verified": False}, "viewer"),
        ({"email": "boss@example.org", "email_verified": "false"}, "viewer"),
        ({"email": "guest@example.org", "email_verified": True}, "viewer"),
        ({"email": ""}, "viewer"),
        ({"name": "boss@example.org"}, "viewer"),
    ],
)
def test_who_is_listed_by_a_verified_address_is_operator(monkeypatch, person, role):
    import streamlit as st

    from dashboard import data

    monkeypatch.setenv("TUNER_DASHBOARD_OPERATORS", " boss@example.org , ,x@example.org")
    monkeypatch.setattr(data, "signs_in", lambda: True)
    monkeypatch.setattr(st, "user", person)
    assert data.role() == role
    monkeypatch.delenv("TUNER_DASHBOARD_OPERATORS")
    assert data.role() == "viewer"  # nobody is listed


def test_production_settings():
    found = settings.options("127.0.0.1", 8501)
    assert found["client.showErrorDetails"] == "none" and found["browser.gatherUsageStats"] == "false"
    assert found["server.address"] == "127.0.0.1" and "evil" not in found["server.allowedHosts"]
    assert settings.environment(found)["STREAMLIT_SERVER_ALLOWED_HOSTS"] == "127.0.0.1 localhost"


def test_a_viewer_is_refused_by_the_service_itself(store, served):
    desk = Desk(store)
    for verb in VERBS:
        with pytest.raises(NotAllowedError):
            desk.steer(verb, ["finished"], "viewer")
    for order in (
        lambda: desk.submit(GOOD, "viewer"),
        lambda: desk.retry("finished", 1, "viewer"),
        lambda: desk.discard("finished", 1, "why", "viewer"),
        lambda: start_worker("viewer"),
    ):
        with pytest.raises(NotAllowedError):
            order()
    with pytest.raises(InputError):
        desk.steer("__init__", ["finished"], "operator")
    assert desk.steer("pause", ["nobody"], "operator").refused


@pytest.fixture
def roots(tmp_path):
    root = tmp_path / "sources"
    (root / "mine").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    return [root]


@pytest.mark.parametrize(
    "source",
    [
        "/etc",
        "/etc/passwd",
        "../secret",
        "mine/../../secret",
        "~/x",
        "~root",
        "link",
        "link/x",
        "http://host/x",
        "file:///etc/passwd",
        "pkg://os/../..",
        "pkg://json/../../../etc",
        "pkg://../x",
        "\\\\host\\share",
        "a\x00b",
        "x" * 5000,
    ],
)
def test_a_browser_names_no_file_outside_the_roots(roots, source):
    assert refusal(source, roots) or refusal(source, roots, hub_only=True)
    assert "secret" not in refusal(source, roots).replace(source, "")


def test_what_is_not_allowed_is_not_said_to_exist(roots):
    assert refusal("/etc/passwd", roots) == refusal("/etc/no-such-file", roots)


@pytest.mark.parametrize("source", ["mine", "owner/model", "bert-base-uncased", "pkg://json"])
def test_packages_hub_ids_and_own_folders_are_allowed(roots, source):
    assert refusal(source, roots) == ""


def test_bombs_are_refused_at_once(roots):
    anchors = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
    )
    texts = [
        "x" * 10_000_000,
        "- " * 40_000,
        "[" * 50_000,
        "{" * 50_000,
        anchors,
        "name: " + "n" * 1_000_000,
        "a: *a",
        "? " * 5000,
    ]
    begin = time.monotonic()
    for text in texts:
        found = check(text, roots)
        assert found.spec is None and found.problems and len(found.problems[0].message) < 800
    assert time.monotonic() - begin < 5


def test_the_shipped_studies_are_fine_and_edited_in_their_lines(roots):
    for text in templates().values():
        assert check(text, roots).spec is not None
        edited = with_value(text, ("budget", "trials"), 99)
        assert edited.count("#") == text.count("#") and check(edited, roots).spec.budget.trials == 99
        evil = with_value(text, ("name",), "a\nbase: /etc # x")
        assert check(evil, roots).spec is None and check(evil, roots).data["name"] == "a\nbase: /etc # x"


def test_a_stored_study_comes_back_as_its_file(store, roots):
    text = study_text(store.get_study("finished").spec, "copy")
    found = check(text, roots)
    assert [p.field for p in found.problems] == ["model.source", "data.source"]  # /nowhere is under no root
    assert found.data["name"] == "copy" and "base" not in found.data


def test_tickets_are_words_that_nobody_guesses():
    tickets = Tickets()
    word = tickets.give("a", 1)
    assert tickets.give("a", 1) == word and tickets.take(word).trial == 1 and len(word) >= 32
    for wrong in ("", "../x", word[:-1]):
        with pytest.raises(NotFoundError):
            tickets.take(wrong)


def test_a_zip_holds_the_bundle_and_no_links(tmp_path):
    bundle = tmp_path / "study-trial-1"
    (bundle / "artefact").mkdir(parents=True)
    (bundle / "artefact" / "model.bin").write_bytes(bytes(3_000_000))
    (bundle / "predict.py").write_text("print(1)\n")
    (bundle / "passwd").symlink_to("/etc/passwd")
    archive = zipfile.ZipFile(io.BytesIO(b"".join(zipped(bundle))))
    assert archive.testzip() is None
    assert archive.namelist() == ["study-trial-1/artefact/model.bin", "study-trial-1/predict.py"]


def test_a_report_stands_alone_and_escapes(store, served):
    html = report_html(StudyHandle.of(store, store.get_study("all-failed")), 0)
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "http://" not in html and "https://" not in html and "data:image/png;base64," in html
    html = report_html(StudyHandle.of(store, store.get_study("finished")), 1)
    assert html.count("data:image/png;base64,") == 2  # the front, and how it grew
    assert HOSTILE[:20] not in html and "Trial 1" in html
