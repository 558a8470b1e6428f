"""A store and a running study for the tests of leases and control, on both databases."""

import pytest

from tests.kept import kept_url, store
from tests.service.stub import stub_study
from tests.store.claims import run

__all__ = ["kept_url", "store"]


@pytest.fixture
def study(store):
    """A running study, as its coordinator holds it."""
    return run(store, store.create_study(stub_study("s")))
