"""The engine: one pool per database, SQLite's pragmas, and transactions that do not deadlock."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from filelock import FileLock
from sqlalchemy import URL, Connection, Engine, create_engine, event

from tuner.errors import InputError
from tuner.store.columns import strict_json
from tuner.store.failures import explained
from tuner.store.home import is_sqlite, sqlite_file, tuner_home

BUSY_SECONDS = 30  # how long a writer waits for another one before it gives up
_PRAGMAS = (
    f"busy_timeout={BUSY_SECONDS * 1000}",
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "foreign_keys=ON",
)


def make_engine(url: URL) -> Engine:
    """Return an engine whose SQLite connections run in WAL mode with foreign keys on and transactional DDL.

    Writing transactions should run on `writer(engine)`.

    Raises:
        InputError: the directory cannot be made or written, or the database's driver is missing.
    """
    with explained(url):
        _make_directory(url)
        engine = create_engine(url, pool_pre_ping=not is_sqlite(url), json_serializer=strict_json)
    if is_sqlite(url):
        event.listen(engine, "connect", _own_transactions)
        event.listen(engine, "connect", set_pragmas)
        event.listen(engine, "begin", _begin)
    return engine


def writer(engine: Engine) -> Engine:
    """Return the engine, on the same pool, whose SQLite transactions take the write lock at their start.

    A transaction that reads first and writes later fails at once, without waiting, when another one wrote in
    between.
    """
    return engine.execution_options(tuner_immediate=True)


def set_pragmas(connection: Any, _record: object = None) -> None:
    """Set the pragmas of one raw SQLite connection; also used on Optuna's engine."""
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()


def _own_transactions(connection: Any, _record: object) -> None:
    # Python's sqlite3 opens transactions before INSERT but not before CREATE TABLE: a failed migration
    # would stay half done. With None it opens none, and `_begin` does.
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("tuner_immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _make_directory(url: URL) -> None:
    file = sqlite_file(url)
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    target = file if file.exists() else file.parent
    if file.is_dir() or not os.access(target, os.W_OK) or not os.access(file.parent, os.W_OK):
        why = "it is a directory" if file.is_dir() else "no write permission"
        raise InputError(
            f"the database {file} cannot be written ({why}); point TUNER_DB or TUNER_HOME to a place of yours"
        )


def setup_lock(url: URL) -> FileLock:
    """Return the lock under which tables are made: several processes starting on an empty database collide.

    It lies beside a SQLite file; for a server it is in the home directory, and so holds for one machine.
    """
    file = sqlite_file(url)
    if file is not None:
        return FileLock(f"{file}.lock")
    name = hashlib.sha256(url.render_as_string(hide_password=True).encode()).hexdigest()[:16]
    folder = tuner_home() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(str(folder / f"{name}.lock"))
