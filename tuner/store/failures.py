"""What goes wrong with a database, in one clear line each."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from tuner.errors import InputError, StoreError, StoreUnavailableError, TunerError
from tuner.store.home import is_sqlite, sqlite_file

_FULL = "no space left on the disk of the database {where}; free some, or point TUNER_DB to another disk"
_UNWRITABLE = (
    "the database {where} cannot be written ({why}); point TUNER_DB or TUNER_HOME to a place of yours"
)


#: What a server refuses for good: SQLSTATEs; how its refusal to connect reads, for that has none; the remedy.
_REFUSALS: tuple[tuple[frozenset[str], str, str], ...] = (
    (
        frozenset({"28000", "28P01"}),
        r'authentication failed|no password supplied|no pg_hba.conf entry|role ".*" does not exist',
        "check user and password in TUNER_DB",
    ),
    (
        frozenset({"3D000"}),
        r'database ".*" does not exist',
        "create it first (createdb), or name another one in TUNER_DB",
    ),
    (frozenset(), r"^invalid (connection option|integer value)", "correct TUNER_DB"),
    (
        frozenset({"42501"}),
        r"permission denied for database",
        "let the database's owner GRANT it to this user",
    ),
    (frozenset({"25006"}), r"$^", "point TUNER_DB to the server that may be written"),
)
#: A server's SQLSTATEs, whole or by class, after which the same transaction may succeed later: lost connections (08),
#: shutting down or starting up (57P), serialization failure and deadlock (40), too many connections.
_PASSING = ("08", "57P01", "57P02", "57P03", "57P05", "40001", "40003", "40P01", "53300")


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """Turn a database's or a disk's failure inside the block into a TunerError of one line.

    Errors that wrap such a failure (Optuna's StorageInternalError) are recognised by their cause.

    Raises:
        InputError: the database cannot be opened or written, or the file is no database.
        StoreUnavailableError: the database is locked, cannot be reached, or went away; it may come back.
        StoreError: the disk is full, or the database is broken.
    """
    try:
        yield
    except TunerError:
        raise
    except Exception as error:
        known = _explain(error, url)
        if known is None:
            raise
        raise known from error


def raced(error: BaseException) -> bool:
    """Say whether a server refused a row because another transaction wrote one of that key first.

    The same method, run again, finds it. SQLite never gets there: its writers take turns.
    """
    return isinstance(error, IntegrityError) and _state(error) == "23505"


def missing_driver(url: URL, error: ImportError) -> str:
    """Return the one line for a database whose Python driver cannot be imported."""
    if is_sqlite(url):
        return f"this Python has no SQLite ({error})"
    return (
        f"PostgreSQL needs psycopg, which cannot be imported ({error}); run: pip install 'tuner[postgresql]'"
    )


def _explain(error: BaseException, url: URL) -> TunerError | None:
    where = str(sqlite_file(url) or url.render_as_string(hide_password=True))
    of_database = _of_sqlite if is_sqlite(url) else _of_server
    for cause in _causes(error):
        if isinstance(cause, OSError) and (found := _of_system(cause, where)):
            return found
        if isinstance(cause, DBAPIError) and (found := of_database(cause, where)):
            return found
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _of_system(error: OSError, where: str) -> TunerError | None:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(_FULL.format(where=where))
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT):
        return InputError(_UNWRITABLE.format(where=where, why=error.strerror))
    return None


def _of_sqlite(error: DBAPIError, where: str) -> TunerError | None:
    message = str(error.orig)
    text = message.lower()
    if "disk is full" in text or "disk full" in text or "no space left" in text:
        return StoreError(_FULL.format(where=where))
    if "readonly database" in text or "unable to open database" in text:
        return InputError(_UNWRITABLE.format(where=where, why=message))
    if "not a database" in text or "malformed" in text:
        return InputError(f"{where}: {message}; move the file away or point TUNER_DB elsewhere")
    if "is locked" in text or "locking protocol" in text:
        return StoreUnavailableError(
            f"the database {where} is locked by another process; end it, or try again"
        )
    if "disk i/o error" in text:
        return StoreError(f"the database {where} does not answer: {' '.join(message.split())}")
    return None


def _of_server(error: DBAPIError, where: str) -> TunerError | None:
    line = _first_line(error)
    if _state(error) == "53100":
        return StoreError(f"no space left on the disk of the database's server {where}: {line}")
    remedy = _refusal(error, line)
    if remedy is not None:
        return InputError(f"the database {where} cannot be used: {line}; {remedy}")
    if _is_passing(error):
        return StoreUnavailableError(f"the database {where} does not answer: {line}; is its server running?")
    return None


def _refusal(error: DBAPIError, line: str) -> str | None:
    state = _state(error)
    for states, words, remedy in _REFUSALS:
        if state in states or (state is None and re.search(words, line)):
            return remedy
    return None


def _is_passing(error: DBAPIError) -> bool:
    state = _state(error)
    if error.connection_invalidated or (state or "").startswith(_PASSING):
        return True
    # Without a state it is not an answer of the server: it could not be reached, or left in mid-sentence.
    return state is None and isinstance(error, OperationalError)


def _state(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _first_line(error: DBAPIError) -> str:
    line = str(error.orig).strip().partition("\n")[0]
    return re.sub(r"^connection (failed|is bad): |FATAL:\s+", "", line)
