"""The engine: one pool per database, SQLite's pragmas, and transactions that do not deadlock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from filelock import FileLock
from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select

from tuner.errors import InputError
from tuner.store.columns import strict_json
from tuner.store.failures import explained, missing_driver
from tuner.store.home import is_sqlite, sqlite_file

BUSY_SECONDS = 30  # how long a writer waits for another one before it gives up
_PRAGMAS = (
    f"busy_timeout={BUSY_SECONDS * 1000}",
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "foreign_keys=ON",
)
#: libpq's words. A server that vanished behind a router would otherwise be waited for during hours.
_CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # ms
    "application_name": "tuner",
}
_LOCK_KEY = int.from_bytes(b"tuner db")  # advisory locks are numbers, and of one database of the server


def make_engine(url: URL) -> Engine:
    """Return an engine. On SQLite its connections run in WAL mode with foreign keys on and transactional DDL.

    Writing transactions should run on `writer(engine)`.

    Raises:
        InputError: the directory cannot be made or written, or the database's driver is missing.
    """
    with explained(url):
        _make_directory(url)
    try:
        engine = create_engine(url, json_serializer=strict_json, **engine_options(url))
    except ImportError as error:
        raise InputError(missing_driver(url, error)) from error
    if is_sqlite(url):
        event.listen(engine, "connect", _own_transactions)
        event.listen(engine, "connect", set_pragmas)
        event.listen(engine, "begin", _begin)
    return engine


def engine_options(url: URL) -> dict[str, Any]:
    """Return the options with which an engine on this database is made; also used for Optuna's.

    Connections to a server are tried before use, for a restarted server leaves dead ones in the pool. What the
    URL's own query says comes before our defaults.
    """
    if is_sqlite(url):
        return {"connect_args": {"timeout": BUSY_SECONDS}}
    options = {name: value for name, value in _CONNECTION.items() if name not in url.query}
    return {"pool_pre_ping": True, "connect_args": options}


def writer(engine: Engine) -> Engine:
    """Return the engine, on the same pool, whose SQLite transactions take the write lock at their start.

    A transaction that reads first and writes later fails at once, without waiting, when another one wrote in
    between.
    """
    return engine.execution_options(tuner_immediate=True)


@contextmanager
def writing_turn(url: URL) -> Iterator[None]:
    """Wait for this process's turn to write, on SQLite, whose own way of waiting starves many writers.

    The kernel wakes the next one at once, and frees the lock of a process that dies. Who asks for no turn (Optuna,
    another program) is waited for in SQLite's way.
    """
    file = sqlite_file(url)
    try:
        turn = None if file is None else os.open(f"{file}.turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:  # a directory that cannot be written: the transaction itself says so
        turn = None
    try:
        if turn is not None:
            fcntl.flock(turn, fcntl.LOCK_EX)
        yield
    finally:
        if turn is not None:
            os.close(turn)


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


def setup_lock(engine: Engine) -> AbstractContextManager[object]:
    """Return the lock under which tables are made: several processes starting on an empty database collide.

    It lies beside a SQLite file. A server keeps it itself, and so it holds for all hosts.
    """
    file = sqlite_file(engine.url)
    return FileLock(f"{file}.lock") if file is not None else _server_lock(engine)


@contextmanager
def _server_lock(engine: Engine) -> Iterator[None]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # The server frees the lock when the connection ends, whatever ends it: so it goes back to no pool.
        connection.detach()
        connection.execute(select(func.pg_advisory_lock(_LOCK_KEY)))
        yield
