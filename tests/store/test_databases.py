"""Two kinds of database behind one store: URLs, failures in one line, the lock of the tables, and patience."""

from __future__ import annotations

import multiprocessing
import sqlite3
import sys
import threading
import time
from collections.abc import Callable

import optuna
import pytest
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.databases import GUARDED, PASSWORD, only_postgresql, only_sqlite
from tuner.errors import InputError, StoreError, StoreUnavailableError, TunerError
from tuner.store import Store, database_url, migrate, retry
from tuner.store.db import make_engine, setup_lock
from tuner.store.optuna_storage import open_optuna_storage
from tuner.store.retry import patiently, retried


@pytest.fixture
def short_patience(monkeypatch):
    monkeypatch.setattr(retry, "PATIENCE_SECONDS", 0.5)


def one_line(caught) -> str:
    message = str(caught.value)
    assert "\n" not in message and PASSWORD not in message
    return message


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
def test_every_way_to_write_postgresql_is_psycopg_3(scheme):
    url = database_url(f"{scheme}://u:p@h:5433/d?sslmode=require")
    assert url.drivername == "postgresql+psycopg" and url.query == {"sslmode": "require"}


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql+psycopg2://h/d", "through psycopg 3, not psycopg2; write postgresql://"),
        ("mysql://h/d", "mysql is no database of the tuner's"),
        ("postgresql://u:secret@h:port/d", "is no database URL"),
        ("u:secret@h", "is no database URL"),
    ],
)
def test_urls_that_are_refused(url, why):
    with pytest.raises(InputError, match=why) as caught:
        database_url(url)
    assert "secret" not in str(caught.value)


def test_no_psycopg_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InputError, match=r"PostgreSQL needs psycopg.*pip install 'tuner\[postgresql\]'"):
        Store.open("postgresql://u@h/d")


def test_psycopg_3_serves_both_the_store_and_optuna(postgresql_url):
    assert "+psycopg" not in postgresql_url
    with Store.open(postgresql_url) as store:
        for engine in (store.engine, open_optuna_storage(store).engine):
            assert engine.dialect.driver == "psycopg"
            with engine.connect() as connection:
                assert connection.scalar(text("SELECT current_setting('application_name')")) == "tuner"
    assert "psycopg2" not in sys.modules


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (
            "postgresql://u:s3cret@127.0.0.1:1/d",
            r"u:\*\*\*@127.0.0.1:1/d does not answer: .*refused; is its server",
        ),
        ("postgresql://u@/d?host=/tmp/none", "does not answer: .*No such file or directory"),
        ("postgresql://u@host.invalid/d", "does not answer: .*host.invalid"),
    ],
)
def test_a_server_that_cannot_be_reached_is_one_clear_line_at_once(postgresql, address, why):
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=why) as caught:
        Store.open(address)
    assert "s3cret" not in one_line(caught) and caught.value.exit_code == 1
    assert time.monotonic() - started < 5


def test_a_server_that_refuses_is_one_clear_line(postgresql):
    guarded = postgresql.url("postgres", GUARDED, PASSWORD)
    database_url(guarded)
    for url, why in (
        (
            postgresql.url("postgres", GUARDED, "wrong"),
            "password authentication failed.*check user and password",
        ),
        (postgresql.url("postgres", GUARDED), "no password supplied; check user and password"),
        (postgresql.url("postgres", "nobody_here"), 'role "nobody_here" does not exist; check user'),
        (postgresql.url("none"), 'database "none" does not exist; create it first'),
        (postgresql.url("postgres") + "&foo=1", 'invalid connection option "foo"; correct TUNER_DB'),
        (guarded, "permission denied for schema public; let the database's owner GRANT"),
    ):
        with pytest.raises(InputError, match=why) as caught:
            Store.open(url)
        one_line(caught)


def test_a_password_of_any_characters_lets_optuna_in_too(postgresql, postgresql_url):
    name = make_url(postgresql_url).database
    postgresql.sql(f"GRANT ALL ON SCHEMA public TO {GUARDED}", name)
    with Store.open(postgresql.url(name, GUARDED, PASSWORD)) as store:
        assert open_optuna_storage(store).get_all_studies() == []


def test_an_older_server_database_is_refused_with_the_command(postgresql_url, monkeypatch):
    with Store.open(postgresql_url) as store:
        migrate.downgrade(store.engine, "0001")
    monkeypatch.setattr(migrate, "head", lambda: "9999")
    with pytest.raises(
        TunerError, match=r"is at revision 0001, .* run: TUNER_DB='postgresql.*tuner db upgrade"
    ):
        Store.open(postgresql_url)


def _hold(url: str, entered) -> None:
    with setup_lock(make_engine(database_url(url))):
        entered.set()
        time.sleep(60)


def _pass(url: str, entered) -> None:
    with setup_lock(make_engine(database_url(url))):
        entered.set()


def test_the_lock_of_the_tables_holds_between_processes_and_dies_with_its_holder(url):
    context = multiprocessing.get_context("spawn")
    theirs, mine = context.Event(), threading.Event()
    holder = context.Process(target=_hold, args=(url, theirs))
    holder.start()
    assert theirs.wait(60)
    waiter = threading.Thread(target=_pass, args=(url, mine))
    waiter.start()
    assert not mine.wait(0.5)
    holder.kill()
    assert mine.wait(30)
    waiter.join(30)
    holder.join(30)


def test_the_lock_of_another_database_is_another(new_url):
    with setup_lock(make_engine(database_url(new_url()))), Store.open(new_url()) as store:
        assert store.list_studies() == []


# --- patience


class Flaky:
    def __init__(self, *errors):
        self.errors, self.calls = list(errors), 0

    @retried
    def __call__(self, value):
        """The docstring."""
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return value


def error_of(kind, sqlstate=None, invalidated=False):
    original = Exception("said the server")
    original.sqlstate = sqlstate
    return kind("SELECT", {}, original, connection_invalidated=invalidated)


def test_what_may_succeed_later_is_tried_again():
    flaky = Flaky(StoreUnavailableError("one"), StoreUnavailableError("two"))
    started = time.monotonic()
    assert flaky(7) == 7 and flaky.calls == 3
    assert 0.15 <= time.monotonic() - started < 1  # 0.05 and 0.1 s, and a little jitter
    assert Flaky.__call__.__doc__ == "The docstring."


def test_patience_ends(short_patience):
    flaky = Flaky(*(StoreUnavailableError(str(i)) for i in range(100)))
    with pytest.raises(StoreUnavailableError):
        flaky(7)
    assert 3 <= flaky.calls <= 6


@pytest.mark.parametrize("error", [TunerError("full"), InputError("bad"), KeyError("x")])
def test_what_is_for_good_is_raised_at_once(error):
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        flaky(7)
    assert flaky.calls == 1


def test_a_key_that_another_took_first_is_looked_up_again_but_not_for_ever():
    race = error_of(IntegrityError, "23505")
    flaky = Flaky(race, race)
    assert flaky(7) == 7 and flaky.calls == 3
    flaky = Flaky(*[race] * 100)
    with pytest.raises(IntegrityError):
        flaky(7)
    assert flaky.calls == 5
    flaky = Flaky(error_of(IntegrityError, "23503"))  # a foreign key
    with pytest.raises(IntegrityError):
        flaky(7)
    assert flaky.calls == 1


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (error_of(DBAPIError, "40001"), StoreUnavailableError),
        (error_of(DBAPIError, "40P01"), StoreUnavailableError),
        (error_of(DBAPIError, "57P01"), StoreUnavailableError),
        (error_of(DBAPIError, "08006"), StoreUnavailableError),
        (error_of(DBAPIError, "XX000", invalidated=True), StoreUnavailableError),
        (error_of(DBAPIError, "53100"), StoreError),
        (error_of(DBAPIError, "28P01"), InputError),
        (error_of(DBAPIError, "42P01"), DBAPIError),  # a mistake of ours keeps its traceback
    ],
)
def test_what_each_answer_of_a_server_means(error, found):
    from tuner.store.failures import explained

    with pytest.raises(found) as caught, explained(database_url("postgresql://h/d")):
        raise error
    assert type(caught.value) is found


def test_a_call_survives_the_end_of_all_connections_and_a_restart(postgresql, postgresql_url):
    with Store.open(postgresql_url) as store:
        study = store.create_study({"name": "s"})
        assert postgresql.terminate_connections(postgresql_url) >= 1
        assert store.get_study("s").id == study.id
        for how in ("fast", "immediate"):
            postgresql.restart(how)
            assert store.get_study("s").id == study.id
        postgresql.stop()
        back = threading.Timer(1.0, postgresql.start)
        back.start()
        assert patiently(store, lambda: _names(store)) == ["s"]
        back.join()


def test_a_connection_that_ends_within_a_transaction_is_tried_again(postgresql, postgresql_url):
    with Store.open(postgresql_url) as store:
        store.create_study({"name": "s"})
        tries = []

        def call():
            with store._writing() as session:
                found = session.scalar(text("SELECT name FROM tuner_study"))
                tries.append(found)
                if len(tries) == 1:
                    postgresql.terminate_connections(postgresql_url)
                return session.scalar(text("SELECT name || '!' FROM tuner_study"))

        assert patiently(store, call) == "s!" and tries == ["s", "s"]


def _names(store: Store) -> list[str]:
    with store.engine.connect() as connection:
        return list(connection.scalars(text("SELECT name FROM tuner_study")))


def test_optunas_calls_survive_the_end_of_all_connections(postgresql, postgresql_url):
    with Store.open(postgresql_url) as store:
        storage = open_optuna_storage(store)
        study = patiently(store, lambda: optuna.create_study(storage=storage, study_name="o"))
        for i in range(5):
            trial = patiently(store, study.ask)
            postgresql.terminate_connections(postgresql_url)
            patiently(store, lambda t=trial, v=i: study.tell(t.number, v, skip_if_finished=True))
        assert [t.value for t in study.trials] == [0, 1, 2, 3, 4]


@pytest.fixture
def counters(url):
    """A store, and beside its tables one of two counters, `a` and `b`."""
    with Store.open(url) as store:
        with store.engine.begin() as connection:
            connection.execute(
                text("CREATE TABLE counter (name VARCHAR(1) PRIMARY KEY, value INTEGER NOT NULL)")
            )
            connection.execute(text("INSERT INTO counter VALUES ('a', 0), ('b', 0)"))
        yield store


def _count(store: Store, *names: str, between=lambda: None) -> None:
    with store._writing() as session:
        for name in names:
            session.execute(text("UPDATE counter SET value = value + 1 WHERE name = :name"), {"name": name})
            between()


def _counted(store: Store) -> list[int]:
    with store.engine.connect() as connection:
        return list(connection.scalars(text("SELECT value FROM counter ORDER BY name")))


def _deadlock_once() -> Callable[[], None]:
    """Return what two threads do between their two updates: wait for each other, the first time."""
    meet, met = threading.Barrier(2), threading.local()

    def between() -> None:
        if not hasattr(met, "once"):
            met.once = True
            meet.wait(10)

    return between


@only_postgresql
def test_a_deadlock_is_tried_again(counters):
    between = _deadlock_once()
    orders = [("a", "b"), ("b", "a")]
    calls = [lambda names=names: _count(counters, *names, between=between) for names in orders]
    threads = [threading.Thread(target=patiently, args=(counters, call)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert _counted(counters) == [2, 2]


@only_sqlite
def test_a_locked_file_is_waited_for(counters):
    other = sqlite3.connect(counters.url.database, isolation_level=None, check_same_thread=False)
    counters.engine.dispose()
    event.listen(counters.engine, "connect", lambda c, _: c.execute("PRAGMA busy_timeout=10").close())
    other.execute("BEGIN IMMEDIATE")
    free = threading.Timer(0.5, other.execute, args=("ROLLBACK",))
    free.start()
    patiently(counters, lambda: _count(counters, "a"))
    free.join()
    other.close()
    assert _counted(counters) == [1, 0]
