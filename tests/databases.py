"""Databases for tests: SQLite files, and a PostgreSQL server of the tests' own, on a socket in a temporary folder."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

USER = "tuner"
#: A role that must give its password. All others are let in.
GUARDED, PASSWORD = "guarded", "s3cret@:/%{x}"
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": 200,
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
}
#: Its stdin ends when the tests' process does, even by kill -9: then it clears up.
_WATCHMAN = """
cat > /dev/null
[ -d "$0" ] || exit 0
kill -QUIT "$(head -n 1 "$0/data/postmaster.pid")"; sleep 1; rm -rf "$0"
"""
_STOPS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


def find_binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest version's, or None."""
    folders = [Path("/none")]
    if shutil.which("pg_config"):
        found = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(found.stdout.strip()))
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(versions, key=lambda f: float(f.parent.name), reverse=True)
    if shutil.which("initdb"):
        folders.append(Path(shutil.which("initdb")).resolve().parent)
    return next((f for f in folders if (f / "initdb").is_file() and (f / "postgres").is_file()), None)


class Server:
    """A PostgreSQL server that ends with this process. It refuses to run as root: then another user does it."""

    def __init__(self, binaries: Path) -> None:
        self.binaries = binaries
        self._owner = _unprivileged() if os.geteuid() == 0 else None
        # The path of a socket has room for about 100 characters, and pytest's folders are long.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp" if os.access("/tmp", os.W_OK) else None))
        self._names = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None
        if self._owner:
            os.chown(self.folder, self._owner.pw_uid, self._owner.pw_gid)
        self._watchman = subprocess.Popen(
            ["sh", "-c", _WATCHMAN, str(self.folder)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _popen(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        options = {}
        if self._owner:
            options = {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}
        with (self.folder / "log").open("ab") as log:
            command = [str(self.binaries / program), *arguments]
            environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
            return subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env=environment,
                **options,
            )

    def log(self) -> str:
        """Return what the server has said so far."""
        return (self.folder / "log").read_text(errors="replace")

    def create(self) -> None:
        """Make the files of the server and start it."""
        flags = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
        if self._popen("initdb", "-D", str(self.folder / "data"), "-U", USER, *flags).wait():
            raise RuntimeError(f"initdb failed: {self.log()}")
        (self.folder / "data/pg_hba.conf").write_text(
            f"local all {GUARDED} scram-sha-256\nlocal all all trust\n"
        )
        self.start()
        self.sql(f"CREATE ROLE {GUARDED} LOGIN PASSWORD '{PASSWORD}'")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = {**_SETTINGS, "unix_socket_directories": str(self.folder)}
        flags = [f"--{name}={value}" for name, value in settings.items()]
        self._process = self._popen("postgres", "-D", str(self.folder / "data"), *flags)
        end = time.monotonic() + 60
        while self._popen("pg_isready", "-q", "-h", str(self.folder)).wait():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL does not start: {self.log()}")
            time.sleep(0.05)

    def stop(self, how: str = "fast") -> None:
        """Stop the server: `smart` waits for its clients, `fast` ends them, `immediate` is like a crash."""
        if self._process is not None:
            self._process.send_signal(_STOPS[how])
            self._process.wait(60)
        self._process = None

    def restart(self, how: str = "fast", pause: float = 0.0) -> None:
        """Stop the server, leave it down for so many seconds, and start it again."""
        self.stop(how)
        time.sleep(pause)
        self.start()

    def remove(self) -> None:
        """Stop the server and remove its files."""
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._watchman.communicate(timeout=10)

    def url(self, database: str, user: str = USER, password: str | None = None) -> str:
        """Return the URL of a database of this server, as a user would write it."""
        query = {"host": str(self.folder)}
        url = URL.create("postgresql", user, password, database=database, query=query)
        return url.render_as_string(hide_password=False)

    def sql(self, statement: str, database: str = "postgres") -> list[tuple]:
        """Run one statement as superuser, outside a transaction; return its rows, if it has any."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def terminate_connections(self, url: str | None = None) -> int:
        """End all connections to one database, or to all, as an administrator does; return how many there were."""
        where = f"AND datname = '{make_url(url).database}'" if url else ""
        ended = self.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() {where}"
        )
        return len(ended)

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Return the URL of a new, empty database; it is dropped afterwards, whoever is still connected."""
        name = f"test_{os.getpid()}_{next(self._names)}"
        self.sql(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            if self._process is None:  # a test left it down
                self.start()
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise LookupError("root may not run PostgreSQL, and there is neither a user postgres nor nobody")


def _missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true demands its tests")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A running PostgreSQL server of this test session. A test may stop and restart it."""
    binaries = find_binaries()
    if binaries is None:
        _missing("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        _missing(f"psycopg is not installed ({error})")
    server = Server(binaries)
    try:
        server.create()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request, tmp_path) -> Iterator[Callable[[], str]]:
    """A function that returns the URL of another fresh, empty database each time, of either kind."""
    with contextlib.ExitStack() as databases:
        if request.param == "sqlite":
            names = itertools.chain(["t"], (f"t{i}" for i in itertools.count(1)))
            yield lambda: f"sqlite:///{tmp_path}/{next(names)}.db"
        else:
            server = request.getfixturevalue("postgresql")
            yield lambda: databases.enter_context(server.database())


@pytest.fixture
def url(new_url) -> str:
    """The URL of a fresh, empty database: the test runs on SQLite and on PostgreSQL."""
    return new_url()


@pytest.fixture
def postgresql_url(postgresql) -> Iterator[str]:
    """The URL of a fresh, empty PostgreSQL database, for what only concerns that."""
    with postgresql.database() as found:
        yield found


#: For a test of what only one kind has, though its fixtures know both.
only_sqlite = pytest.mark.parametrize("new_url", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("new_url", ["postgresql"], indirect=True)
