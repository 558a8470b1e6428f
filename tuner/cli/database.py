"""`tuner db`: the revision of the database's tables, and bringing them up to date."""

from __future__ import annotations

import typer

from tuner.cli.study import Json

db = typer.Typer(help="The database: TUNER_DB, else a SQLite file of yours.", no_args_is_help=True)


@db.command()
def current(as_json: Json = False) -> None:
    """Print the revision of the database's tables and the one that this tuner needs."""
    from tuner.cli.output import print_json
    from tuner.store import Store

    with Store.open_as_is() as store:
        found, wanted = store.revision()
        url = store.url.render_as_string(hide_password=True)
    if as_json:
        print_json({"database": url, "revision": found, "needed": wanted, "up_to_date": found == wanted})
        return
    state = "up to date" if found == wanted else f"this tuner needs {wanted}; run: tuner db upgrade"
    print(f"{url}: {f'revision {found}' if found else 'no tables of the tuner'}, {state}")


@db.command()
def upgrade(as_json: Json = False) -> None:
    """Bring the database's tables up to date, after a backup (SQLite)."""
    from tuner.cli.output import print_json
    from tuner.store import Store

    with Store.open_as_is() as store:
        before, after, backup = store.upgrade()
        url = store.url.render_as_string(hide_password=True)
    copy = None if backup is None else str(backup)
    if as_json:
        print_json({"database": url, "before": before, "after": after, "backup": copy})
    elif before == after:
        print(f"{url}: at revision {after} already")
    else:
        print(f"{url}: {before or 'empty'} to {after}{f'; backup: {copy}' if copy else ''}")
