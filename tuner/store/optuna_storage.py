"""Optuna's tables in the same database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import event

from tuner.store.db import engine_options, set_pragmas, setup_lock
from tuner.store.failures import explained
from tuner.store.home import is_sqlite
from tuner.store.migrate import missing_tables
from tuner.store.store import Store

if TYPE_CHECKING:
    from optuna.storages import RDBStorage


def open_optuna_storage(store: Store) -> RDBStorage:
    """Return Optuna's storage on the store's database; its tables are made once, under a lock between
    processes.

    Raises:
        InputError, TunerError: as for the store.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with explained(store.url):
        if is_sqlite(store.url) or _lacks_tables(store):
            with setup_lock(store.engine):
                if _lacks_tables(store):
                    _storage(store, create=True).engine.dispose()
        return _storage(store, create=False)


def _lacks_tables(store: Store) -> bool:
    # Optuna stamps `alembic_version` last: where it is missing, an earlier start did not come to its end.
    return bool(missing_tables(store.engine, ["alembic_version"]))


def _storage(store: Store, create: bool) -> RDBStorage:
    from optuna.storages import RDBStorage

    # Optuna fills the URL with str.format: braces of a path must be doubled.
    url = store.url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    storage = RDBStorage(url, engine_kwargs=engine_options(store.url), skip_table_creation=not create)
    if is_sqlite(store.url):
        event.listen(storage.engine, "connect", set_pragmas)
        storage.engine.dispose()  # the constructor's own connections have the slow defaults
    return storage
