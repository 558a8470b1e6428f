"""Migrations: find them, run them, back up first; and say what to do where the tuner must not itself."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Engine, column, inspect, select, table

from tuner.errors import TunerError
from tuner.store.columns import now
from tuner.store.db import setup_lock, writer
from tuner.store.home import is_default, is_sqlite, sqlite_file

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "tuner_alembic_version"  # Optuna keeps its own in `alembic_version`
_REVISION = re.compile(r'^(revision|down_revision)(?::[^=]+)? = "(\w+)"', re.M)


def script_directory() -> Path:
    """Return the directory of the migrations: inside an installed wheel, else in the source checkout.

    Raises:
        TunerError: neither is there.
    """
    here = Path(__file__).parent
    for folder in (here / "_alembic", here.parents[1] / "alembic"):
        if (folder / "env.py").is_file():
            return folder
    raise TunerError("the migrations are missing from this installation; install the tuner again")


def configuration() -> Config:
    """Return Alembic's configuration. It holds no database URL: a connection travels in `attributes`."""
    from alembic.config import Config

    config = Config(stdout=sys.stdout)  # its default is what that was when alembic was imported
    config.set_main_option("script_location", str(script_directory()).replace("%", "%%"))
    return config


def head() -> str:
    """Return the newest revision that this tuner knows.

    The files are read as text, and a database's revision by a plain query: every command asks for both, and loading
    Alembic takes longer than most of them. Alembic is asked where a file is written in another way than ours.
    """
    texts = [file.read_text() for file in (script_directory() / "versions").glob("*.py")]
    found = [dict(_REVISION.findall(text)) for text in texts]
    heads = {each.get("revision") for each in found} - {
        each["down_revision"] for each in found if len(each) > 1
    }
    head = heads.pop() if len(heads) == 1 else _head_by_alembic()
    if head is None:
        raise TunerError("the migrations of this installation are empty; install the tuner again")
    return head


def _head_by_alembic() -> str | None:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(configuration()).get_current_head()


def current(engine: Engine) -> str | None:
    """Return the database's revision, None where the tuner's tables are not there."""
    if missing_tables(engine, [VERSION_TABLE]):
        return None
    with engine.connect() as connection:
        return connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database up to a revision, in one transaction."""
    from alembic import command

    _run(engine, command.upgrade, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to a revision (`base`: drop the tuner's tables), in one transaction."""
    from alembic import command

    _run(engine, command.downgrade, revision)


def _run(engine: Engine, action: object, revision: str) -> None:
    config = configuration()
    with writer(engine).connect() as connection:
        config.attributes["connection"] = connection
        action(config, revision)  # type: ignore[operator]


def backup(engine: Engine, url: URL) -> Path | None:
    """Copy a SQLite database, consistently, to a new file beside it and return that file."""
    file = sqlite_file(url)
    if file is None:
        return None
    copy = file.with_name(f"{file.name}.{now():%Y%m%dT%H%M%S%f}.backup")
    with engine.connect() as connection:
        raw = connection.connection.driver_connection  # VACUUM refuses to run inside a transaction
        assert raw is not None
        raw.execute("VACUUM INTO ?", (str(copy),)).close()
    return copy


def prepare(engine: Engine, url: URL) -> None:
    """Make the tables of an empty database; migrate the default SQLite file after a backup; refuse elsewhere.

    Raises:
        TunerError: the database is older than this tuner and not ours to change unasked (the message holds
            the command), or it is newer.
    """
    wanted = head()
    # A server answers this without the lock. Who opens a new SQLite file first also turns its WAL mode on.
    if not is_sqlite(url) and current(engine) == wanted:
        return
    with setup_lock(engine):
        found = current(engine)
        if found == wanted:
            return
        _require_known(found, url)
        if found is not None:
            _require_ours(found, wanted, url)
            backup(engine, url)
        upgrade(engine)


def upgrade_database(engine: Engine, url: URL) -> tuple[str | None, str, Path | None]:
    """Upgrade any database because the user said so; return old revision, new revision and backup file."""
    with setup_lock(engine):
        found = current(engine)
        _require_known(found, url)
        if found == head():
            return found, found, None
        copy = backup(engine, url) if found else None
        upgrade(engine)
        return found, head(), copy


def _require_known(revision: str | None, url: URL) -> None:
    from alembic.script import ScriptDirectory
    from alembic.util.exc import CommandError

    if revision is None:
        return
    try:
        ScriptDirectory.from_config(configuration()).get_revision(revision)
    except CommandError:
        raise TunerError(
            f"{_shown(url)} was written by a newer tuner (revision {revision}); install that one"
        ) from None


def _require_ours(found: str, wanted: str, url: URL) -> None:
    if is_default(url):
        return
    from_environment = os.environ.get("TUNER_DB") and not url.password
    prefix = "" if from_environment else f"TUNER_DB={shlex.quote(_shown(url))} "
    raise TunerError(
        f"the database {_shown(url)} is at revision {found}, this tuner needs {wanted}; "
        f"run: {prefix}tuner db upgrade"
    )


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def missing_tables(engine: Engine, names: list[str]) -> list[str]:
    """Return those of the tables that the database does not have."""
    present = inspect(engine)
    return [name for name in names if not present.has_table(name)]
