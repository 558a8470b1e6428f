"""One database with a study in every state, built once for all tests of this folder."""

import sys

import pytest

from tests.dashboard import fill

#: What a browser might send, or an attacker write into a database.
HOSTILE = (
    "<img src=x onerror=alert(1)> **bold** [link](javascript:alert(1)) :material/home: $x^2$ :red[x] `c`"
)


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A tuner's home with studies that the stub pipeline ran."""
    home = tmp_path_factory.mktemp("dashboard")
    with fill.open_store(home) as store:
        fill.ran(store, "finished", 12, tags=["news", HOSTILE[:60]])
        fill.ran(store, "second", 8, sampler="random", seed=3)
        fill.all_failed(store, "all-failed")
        fill.infeasible(store, "infeasible")
        fill.failing_engine(store, "bad-engine")
        fill.ran(store, "first-trial", 10, once=True)
        fill.queued(store, "waiting")
        fill.two_hosts(store, "two-hosts")
        prices = {"currency": "EUR", "hosts": {"fast": 9.0, "slow": 0.1}}
        fill.two_hosts(store, "priced", price=prices, axes=fill.named("fast", "slow"))
        fill.huge(store, "huge", 700)
    return home


@pytest.fixture(autouse=True)
def own_main():
    """Put `__main__` back: a page under test takes its place, and later tests' processes would run the page."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture
def served(home, monkeypatch):
    """The home as the one that the dashboard uses, with nothing cached from another one."""
    import streamlit as st

    monkeypatch.setenv("TUNER_HOME", str(home))
    monkeypatch.delenv("TUNER_DB", raising=False)
    st.cache_resource.clear()
    st.cache_data.clear()
    yield home
    st.cache_resource.clear()


@pytest.fixture
def store(served):
    """The same database, open."""
    with fill.open_store(served) as store:
        yield store
