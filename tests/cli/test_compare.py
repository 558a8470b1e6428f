"""`tuner compare`: which hardware?"""

import json
import shutil

import pytest

from tests.dashboard import fill


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    kept = tmp_path_factory.mktemp("compared")
    with fill.open_store(kept) as store:
        prices = {"currency": "EUR", "hosts": {"fast": 9.0, "slow": 0.1}}
        fill.two_hosts(store, "priced", price=prices, axes=fill.named("fast", "slow"))
        fill.ran(store, "alone", 4)
    return kept


@pytest.fixture
def measured(kept, home):
    shutil.copytree(kept, home)


def test_the_hosts_of_a_study_are_set_side_by_side(measured, tuner):
    code, out, _ = tuner("compare", "priced", "--json")
    found = json.loads(out)
    assert code == 0 and found["currency"] == "EUR"
    roles = {(o["contender"], role): o for o in found["offered"] for role in o["roles"]}
    for host in ("fast", "slow"):
        base, fastest = roles[host, "baseline"]["metrics"], roles[host, "fastest"]["metrics"]
        assert base["latency_ms"]["value"] > fastest["latency_ms"]["value"]
        assert roles[host, "cheapest"]["metrics"]["cost_per_million"]["value"] > 0
    slow, fast = (roles[host, "baseline"]["metrics"]["latency_ms"]["value"] for host in ("slow", "fast"))
    assert slow == pytest.approx(3 * fast, rel=0.02)
    best = {b["metric"]: (b["contender"], b["tied"]) for b in found["best"]}
    assert best["latency_ms"] == ("fast", []) and best["cost_per_million"] == ("slow", [])
    assert "energy_j" not in best  # nobody has a meter


def test_it_is_said_in_a_table_and_in_sentences(measured, tuner):
    code, out, _ = tuner("compare", "priced")
    assert code == 0 and "EUR/1M" in out and "J/request" not in out
    assert "fastest: fast, trial" in out and "x less than the next" in out
    assert "cheapest: slow, trial" in out and "EUR per 10^6 requests" in out


def test_studies_and_parts_of_them_are_compared_too(measured, tuner):
    code, out, _ = tuner("compare", "alone", "priced on fast", "--json")
    assert code == 0 and {o["contender"] for o in json.loads(out)["offered"]} == {"alone", "priced on fast"}


@pytest.mark.parametrize(
    ("names", "code", "says"),
    [(["alone"], 2, "not measured by several hosts"), (["alon"], 4, "did you mean 'alone'")],
)
def test_what_cannot_be_compared_is_said(measured, tuner, names, code, says):
    found, _, err = tuner("compare", *names)
    assert found == code and says in err and len(err.splitlines()) == 1


def test_a_front_shows_what_a_request_costs(measured, tuner):
    _, out, _ = tuner("front", "priced")
    assert "EUR/1M" in out and "J/request" not in out


def test_backends_say_which_meter_there_is_or_why_none(tuner, monkeypatch):
    _, out, _ = tuner("backends")
    assert "power meter: none (" in out or "power meter: /" in out
