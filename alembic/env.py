"""Alembic's entry: migrates the tuner's own tables and never looks at Optuna's, which live beside them."""

from __future__ import annotations

from sqlalchemy import Connection
from sqlalchemy.types import TypeDecorator

from alembic import context
from tuner.store.migrate import VERSION_TABLE
from tuner.store.models import Base


def include_name(name: str | None, type_: str, parent_names: object) -> bool:
    """Keep to our own tables: unfiltered, autogenerate wants to drop Optuna's."""
    return type_ != "table" or (name or "").startswith("tuner_")


def render_item(type_: str, item: object, autogen_context: object) -> str | bool:
    """Write our column types as the plain ones beneath: a migration must not change with our code."""
    return (
        f"sa.{type(item.impl).__name__}()" if type_ == "type" and isinstance(item, TypeDecorator) else False
    )


def migrate(connection: Connection) -> None:
    """Run the migrations in one transaction.

    SQLite alters a table by making it anew and dropping the old one; with foreign keys on, ON DELETE CASCADE
    would then delete every child row. The pragma does nothing inside a transaction, so it is set before.
    """
    sqlite = connection.dialect.name == "sqlite"
    if sqlite:
        _pragma(connection, "foreign_keys=OFF")
    try:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            version_table=VERSION_TABLE,
            include_name=include_name,
            render_as_batch=sqlite,
            transactional_ddl=True,
            compare_type=True,
            render_item=render_item,
        )
        with context.begin_transaction():
            context.run_migrations()
            if sqlite:
                _check_foreign_keys(connection)
    finally:
        if sqlite:
            _pragma(connection, "foreign_keys=ON")


def _pragma(connection: Connection, text: str) -> None:
    if connection.in_transaction():
        connection.rollback()
    raw = connection.connection.driver_connection
    assert raw is not None
    raw.execute(f"PRAGMA {text}").close()


def _check_foreign_keys(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise RuntimeError(f"the migration would leave {len(broken)} rows without their parent: {broken[:3]}")


def run() -> None:
    """Use the connection that the caller passes; alone (`alembic -c alembic/alembic.ini`), the tuner's
    database.
    """
    given = context.config.attributes.get("connection")
    if given is not None:
        migrate(given)
        return
    from tuner.store.db import make_engine
    from tuner.store.home import database_url

    with make_engine(database_url()).connect() as connection:
        migrate(connection)


run()
