"""One database of each kind for all tests of a module, emptied before each: making one takes longer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tuner.store import Store
from tuner.store.models import Base


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kept_url(request, tmp_path_factory) -> Iterator[str]:
    """The URL of a database that the module's tests share: each runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('kept')}/t.db"
    else:
        with request.getfixturevalue("postgresql").database() as found:
            yield found


@pytest.fixture
def store(kept_url) -> Iterator[Store]:
    """A store on an empty database. What Optuna keeps of earlier tests' studies stays: their names do not come back."""
    with Store.open(kept_url) as opened:
        empty(opened)
        yield opened


def empty(store: Store) -> None:
    """Remove all rows."""
    with store.engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())


#: For a test whose subject is above the database: one kind is enough.
sqlite_only = pytest.mark.parametrize("kept_url", ["sqlite"], indirect=True)
