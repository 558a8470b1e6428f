"""Where the tuner keeps its things: the home directory and the database URL."""

from __future__ import annotations

import os
import re
from pathlib import Path

from platformdirs import user_data_dir
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from tuner.errors import InputError

_EXAMPLES = "write sqlite:////path/to/tuner.db or postgresql://user@host/database"


def tuner_home() -> Path:
    """Return the directory of the tuner's own files: `TUNER_HOME`, else the user data directory."""
    chosen = os.environ.get("TUNER_HOME")
    return Path(chosen).expanduser().absolute() if chosen else Path(user_data_dir("tuner", appauthor=False))


def default_url() -> URL:
    """Return the URL of the default database: a SQLite file in the home directory."""
    return URL.create("sqlite", database=str(tuner_home() / "tuner.db"))


def database_url(url: str | None = None) -> URL:
    """Return the database to use: the argument, else `TUNER_DB`, else the default SQLite file.

    PostgreSQL is always spoken to through psycopg 3, whichever way its URL is written.

    Raises:
        InputError: the text is no database URL, names no database file, or is of a kind we do not know.
    """
    text = url or os.environ.get("TUNER_DB")
    if not text:
        return default_url()
    try:
        parsed = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise InputError(f"TUNER_DB: {_without_password(text)!r} is no database URL; {_EXAMPLES}") from None
    return _postgresql(parsed) if parsed.get_backend_name().startswith("postgres") else _sqlite(parsed)


def _postgresql(url: URL) -> URL:
    driver = url.drivername.partition("+")[2]
    if driver not in ("", "psycopg"):
        raise InputError(
            f"TUNER_DB: the tuner speaks to PostgreSQL through psycopg 3, not {driver}; write postgresql://…"
        )
    return url.set(drivername="postgresql+psycopg")


def _sqlite(url: URL) -> URL:
    if not is_sqlite(url):
        raise InputError(f"TUNER_DB: {url.get_backend_name()} is no database of the tuner's; {_EXAMPLES}")
    if url.database in (None, "", ":memory:"):
        raise InputError("TUNER_DB: the database must be a file (several processes share it), not memory")
    return url


def _without_password(text: str) -> str:
    return re.sub(r":[^:/@]*@", ":***@", text)


def is_sqlite(url: URL) -> bool:
    """Say whether the URL is one of SQLite."""
    return url.get_backend_name() == "sqlite"


def sqlite_file(url: URL) -> Path | None:
    """Return the file of a SQLite database, None for any other kind."""
    return Path(url.database).absolute() if is_sqlite(url) and url.database else None


def is_default(url: URL) -> bool:
    """Say whether this is the SQLite file in the home directory, which the tuner looks after by itself."""
    file = sqlite_file(url)
    return file is not None and file == sqlite_file(default_url())
