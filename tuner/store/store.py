"""Store: the one door to the database."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from tuner.store import migrate
from tuner.store.cells import Cells
from tuner.store.control import Control
from tuner.store.db import make_engine
from tuner.store.failures import explained
from tuner.store.glance import Glance
from tuner.store.home import database_url
from tuner.store.hosts import Hosts
from tuner.store.journal import Journal
from tuner.store.leases import Leases
from tuner.store.outcomes import Outcomes
from tuner.store.reclaim import Reclaim
from tuner.store.studies import Studies
from tuner.store.trials import Trials
from tuner.store.workers import Workers


class Store(Studies, Trials, Leases, Reclaim, Outcomes, Control, Workers, Journal, Hosts, Cells, Glance):
    """Studies, trials, leases, measurements, artefacts, workers, hosts and events in one database.

    All methods return frozen records. Any of them may raise InputError (the database cannot be written)
    or TunerError (disk full, locked).

    >>> with Store.open("sqlite:////tmp/study.db") as store:  # doctest: +SKIP
    ...     store.list_studies()
    """

    @classmethod
    def open(cls, url: str | None = None) -> Store:
        """Open the database at `url`, else `TUNER_DB`, else the default file; make or migrate its tables.

        Only the default SQLite file is migrated unasked (after a backup beside it); an empty SQLite file is
        filled.

        Raises:
            InputError: the URL is none, or the database cannot be opened or written.
            TunerError: the database is of an older or a newer tuner; the message holds the command to run.
        """
        store = cls.open_as_is(url)
        try:
            with explained(store.url):
                migrate.prepare(store.engine, store.url)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open_as_is(cls, url: str | None = None) -> Store:
        """Open the database without looking at its revision: for `tuner db`."""
        resolved = database_url(url)
        return cls(make_engine(resolved), resolved)

    def revision(self) -> tuple[str | None, str]:
        """Return the database's revision (None: no tables) and the one that this tuner needs."""
        with explained(self.url):
            return migrate.current(self.engine), migrate.head()

    def upgrade(self) -> tuple[str | None, str, Path | None]:
        """Bring the tables up to date, any database, after a backup (SQLite); old and new revision, backup
        file.
        """
        with explained(self.url):
            return migrate.upgrade_database(self.engine, self.url)

    def guard(self) -> AbstractContextManager[None]:
        """Return a context in which Optuna's failures on this database become one clear line as well."""
        return explained(self.url)

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
