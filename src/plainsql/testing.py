"""A pytest plugin: a real PostgreSQL and a real Redis for tests, shared by the workers of a run.

It is there as soon as plainsql is installed, and costs nothing until a fixture is requested::

    @pytest.fixture(scope="session")
    def plainsql_migrate():
        return functools.partial(plainsql.migrate.apply, folders=["migrations/shop"])

    async def test_leads_are_found(plainsql_database_url):
        async with plainsql.connect(plainsql_database_url) as db: ...

The server is an embedded scratch server, one for a run: under pytest-xdist all workers join it, and the last
one to leave stops it. ``PLAINSQL_TEST_DATABASE_URL`` names another server, whose role may create databases.

With ``plainsql_tcp = true`` in pytest's configuration, the server also listens on 127.0.0.1 with a password,
and all URLs lead there. ``load`` creates the schema for the factories of pytest-postgresql.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString, Protocol
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from plainsql.embedded import EmbeddedServer
    from plainsql.factories import Factory

__all__ = ["DatabaseServer", "Databases", "Migrate", "create_schema", "load"]

Migrate = Callable[[str], object]
"""Brings the empty database of a URL to the state that tests start from."""

_RUN = pytest.StashKey[str]()


class DatabaseServer(Protocol):
    """The server of the fixtures, by the URLs of its databases."""

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        ...


class _GivenServer:
    """A server that runs already."""

    def __init__(self, url: str) -> None:
        address, _, self._options = url.partition("?")
        scheme, _, rest = address.partition("://")
        self._start = f"{scheme}://{rest.partition('/')[0]}/"

    def url(self, database: str = "postgres") -> str:
        return self._start + quote(database, safe="") + (f"?{self._options}" if self._options else "")


class _ServerOverTcp:
    """The embedded server by URLs on 127.0.0.1, with the password."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server

    def url(self, database: str = "postgres") -> str:
        return self._server.url(database, tcp=True)


class Databases:
    """Makes the databases of one run: a template for each set of migrations, and clones of it."""

    def __init__(self, server: DatabaseServer, run: str) -> None:
        import psycopg

        self._server = server
        self._prefix = f"plainsql_{run}_"
        self._admin = psycopg.connect(server.url(), autocommit=True)

    def template(self, migrate: Migrate) -> str:
        """Return the name of a database that ``migrate`` was applied to, once in the run.

        Two callables are the same if their code and the values bound in them are the same.
        """
        name = f"{self._prefix}template_{_fingerprint(migrate)}"
        # All workers share the server, so its lock holds on every operating system.
        with self._locked(name):
            if not self._exists(name):
                # It gets its name when it is whole: a failure in the middle is not taken for a template.
                unfinished = f"{name}_new"
                self._run("drop database if exists {} with (force)", unfinished)
                self._run("create database {}", unfinished)
                migrate(self._server.url(unfinished))
                # A pool that was just closed may have sessions left, which would keep clones from being made.
                self._admin.execute(
                    "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = %s",
                    [unfinished],
                )
                self._run("alter database {} rename to {}", unfinished, name)
        return name

    @contextmanager
    def clone(self, template: str = "template1") -> Generator[str]:
        """Yield the URL of a new database, a copy of ``template``; drop it afterwards, sessions and all."""
        name = self._prefix + uuid.uuid4().hex[:12]
        self._run("create database {} template {}", name, template)
        try:
            yield self._server.url(name)
        finally:
            self._run("drop database if exists {} with (force)", name)

    def drop_all(self) -> None:
        """Drop all databases of the run."""
        found = self._admin.execute(
            "select datname from pg_database where starts_with(datname, %s)", [self._prefix]
        )
        for (name,) in found.fetchall():
            self._run("drop database if exists {} with (force)", name)

    def close(self) -> None:
        """Leave the server."""
        self._admin.close()

    @contextmanager
    def _locked(self, name: str) -> Generator[None]:
        self._admin.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [name])
        try:
            yield
        finally:
            self._admin.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", [name])

    def _exists(self, name: str) -> bool:
        found = self._admin.execute("select from pg_database where datname = %s", [name])
        return found.rowcount == 1

    def _run(self, statement: LiteralString, *names: str) -> None:
        from psycopg import errors, sql

        try:
            self._admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
        except errors.InsufficientPrivilege as error:
            role = sql.Identifier(self._admin.info.user).as_string(self._admin)
            pytest.fail(
                f"PLAINSQL_TEST_DATABASE_URL: {error.diag.message_primary}\n"
                f"HINT: name a role that may create databases: alter role {role} createdb",
                pytrace=False,
            )


@pytest.fixture(scope="session")
def plainsql_server(pytestconfig: pytest.Config) -> Generator[DatabaseServer]:
    """The server of this run: an embedded scratch server, or that of ``PLAINSQL_TEST_DATABASE_URL``."""
    if given := os.environ.get("PLAINSQL_TEST_DATABASE_URL"):
        yield _GivenServer(given)
        return
    try:
        from plainsql import embedded
    except ImportError as error:  # Windows
        pytest.fail(
            f"no embedded server: {error}\n"
            "HINT: name a server for tests in PLAINSQL_TEST_DATABASE_URL, whose role may create databases",
            pytrace=False,
        )
    folder = embedded.scratch_folder(f"run-{pytestconfig.stash[_RUN]}")
    over_tcp: bool = pytestconfig.getini("plainsql_tcp")
    with embedded.start(folder, scratch=True, tcp=over_tcp) as server:
        yield _ServerOverTcp(server) if over_tcp else server


@pytest.fixture(scope="session")
def plainsql_replica(
    plainsql_server: DatabaseServer, pytestconfig: pytest.Config
) -> Generator[EmbeddedServer]:
    """A hot standby that streams from ``plainsql_server`` and has its databases, one for a run."""
    from plainsql import embedded

    source: Any = plainsql_server
    if not isinstance(source, embedded.EmbeddedServer):
        source = plainsql_server.url()
    folder = embedded.scratch_folder(f"replica-{pytestconfig.stash[_RUN]}")
    with embedded.start(folder, scratch=True, replica_of=source) as replica:
        yield replica


@pytest.fixture(scope="session")
def plainsql_databases(plainsql_server: DatabaseServer, pytestconfig: pytest.Config) -> Generator[Databases]:
    """Makes templates and clones, for tests that need more than one database."""
    databases = Databases(plainsql_server, pytestconfig.stash[_RUN])
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def plainsql_migrate() -> Migrate:
    """To be overridden: a callable that takes a URL and applies the migrations. This one applies none."""
    return _no_migrations


@pytest.fixture(scope="module")
def plainsql_template(plainsql_databases: Databases, plainsql_migrate: Migrate) -> str:
    """The name of the database that ``plainsql_migrate`` was applied to, once in a run."""
    return plainsql_databases.template(plainsql_migrate)


@pytest.fixture(scope="module")
def plainsql_database_url(plainsql_databases: Databases, plainsql_template: str) -> Generator[str]:
    """The URL of a database with the migrations applied, shared by the tests of a module."""
    with plainsql_databases.clone(plainsql_template) as url:
        yield url


@pytest.fixture(scope="module")
def plainsql_replica_url(plainsql_replica: EmbeddedServer, plainsql_database_url: str) -> str:
    """The URL of the database of ``plainsql_database_url`` on the replica, which has replayed it."""
    from plainsql.urls import read_url

    plainsql_replica.wait_for_replay()
    return plainsql_replica.url(read_url(plainsql_database_url)["dbname"])


@pytest.fixture(scope="module")
def plainsql_factory(plainsql_database_url: str) -> Generator[Factory]:
    """Creates valid rows in the database of ``plainsql_database_url``, on a connection of its own.

    A row that waits for a lock of the test for 10 seconds is an error: the test may hold the event loop.
    """
    from plainsql import sync
    from plainsql.factories import Factory

    with sync.connect(plainsql_database_url, statement_timeout=10) as db:
        yield Factory(db)


@pytest.fixture
def plainsql_fresh_database_url(plainsql_databases: Databases, plainsql_template: str) -> Generator[str]:
    """The URL of a database with the migrations applied, of this test alone (some 50 ms)."""
    with plainsql_databases.clone(plainsql_template) as url:
        yield url


@pytest.fixture
def plainsql_verify_migrations(plainsql_databases: Databases) -> Callable[..., None]:
    """Verify migrations on an empty database: up, down and up again, with the schema compared each time.

    Call it with a folder and ``layers=``; by default it is the project's folder. The test fails if a rollback
    leaves or loses something of the schema, and names the objects.
    """

    def verify(folder: str | os.PathLike[str] | None = None, *, layers: Sequence[str] | None = None) -> None:
        from plainsql import migrate
        from plainsql.settings import Project

        with plainsql_databases.clone("template0") as url:
            found = migrate.verify(url, folder or Project.load().migrations_folder, layers=layers)
        lines = [str(each) for each in found.differences]
        if found.not_run:
            lines.append(f"not verified: {', '.join(found.not_run)}")
        if lines:
            pytest.fail("\n".join(lines), pytrace=False)

    return verify


@pytest.fixture(scope="session")
def plainsql_redis_url() -> Generator[str]:
    """The URL of a Redis, one for each worker and empty at first, or ``PLAINSQL_TEST_REDIS_URL``."""
    given = os.environ.get("PLAINSQL_TEST_REDIS_URL")
    source: AbstractContextManager[str] = nullcontext(given) if given else _private_redis()
    with source as url:
        yield url


def load(
    *,
    host: str,
    port: str | int,
    user: str,
    dbname: str,
    password: str | None = None,
    options: str = "",
    folder: str | os.PathLike[str] | None = None,
    layers: Sequence[str] | None = None,
    **others: object,
) -> None:
    """Create the schema for pytest-postgresql: ``postgresql_proc(load=[plainsql.testing.load])``.

    Args:
        host: the server's; pytest-postgresql gives this and the next five.
        port: the server's.
        user: a role that may create what the migrations create.
        dbname: the database.
        password: the role's.
        options: settings of the session, ``-c name=value``.
        folder: a folder of migrations, bound with ``functools.partial``; by default the project's schema.
        layers: only these; all for ``None``.
        others: options of the connection that a loader may ignore, such as ``autocommit``.

    Raises what ``create_schema`` raises.
    """
    from plainsql import migrate
    from plainsql.urls import write_url

    given = {"host": host, "port": str(port), "user": user, "dbname": dbname}
    given |= {"password": password} if password else {}
    url = write_url(given | ({"options": options} if options else {}))
    if folder is None and layers is None:
        create_schema(url)
    else:
        from plainsql.settings import Project

        migrate.apply(url, folder or Project.load().migrations_folder, layers=layers)


def create_schema(url: str) -> None:
    """Create the project's schema in an empty database: its migrations, or what another tool makes.

    Return it from the fixture ``plainsql_migrate``. The settings of ``pyproject.toml`` say what makes the
    schema.

    Raises ``PlainsqlError`` if the source or a statement in it is refused.
    """
    from plainsql.schema import schema_source
    from plainsql.settings import Project

    schema_source(Project.load()).apply(url)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "plainsql_tcp",
        "Let plainsql's embedded server listen on 127.0.0.1 too, with a password; URLs lead there.",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    workerinput: dict[str, Any] | None = getattr(config, "workerinput", None)
    config.stash[_RUN] = workerinput["plainsql_run"] if workerinput else uuid.uuid4().hex[:12]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # a class of pytest-xdist, which need not be there
    node.workerinput["plainsql_run"] = node.config.stash[_RUN]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Drop the templates on a given server when all workers are done; an embedded one takes them with it."""
    given = os.environ.get("PLAINSQL_TEST_DATABASE_URL")
    if not given or hasattr(config, "workerinput"):
        return
    import psycopg

    with suppress(psycopg.OperationalError):  # the tests have reported that it is missing
        databases = Databases(_GivenServer(given), config.stash[_RUN])
        databases.drop_all()
        databases.close()


def _no_migrations(url: str) -> None:
    pass


def _fingerprint(migrate: Migrate) -> str:
    """Return an identity of a callable that all workers agree on; in doubt, equal ones come out different."""
    parts: list[str] = []
    function: Any = migrate
    while isinstance(function, functools.partial):
        parts += [repr(function.args), repr(sorted(function.keywords.items()))]
        function = function.func
    if hasattr(function, "__qualname__"):
        bound = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
        parts += [function.__module__, function.__qualname__, repr(getattr(function, "__self__", None))]
        parts += [repr(bound), repr(getattr(function, "__defaults__", None))]
        if code := getattr(function, "__code__", None):
            parts += [code.co_filename, str(code.co_firstlineno)]
    else:
        parts.append(repr(function))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


# When the pipe from the tests' process closes, however that process ended, the shell stops the server.
_STOPS_WITH_US = '"$@" & server=$!; read -r _; kill "$server"; wait "$server"; rm -rf "$0"'


@contextmanager
def _private_redis() -> Generator[str]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.fail(
            "redis-server is not on the PATH\n"
            "HINT: install Redis, or name a server for tests in PLAINSQL_TEST_REDIS_URL",
            pytrace=False,
        )
    folder = Path(tempfile.mkdtemp(prefix="plainsql-redis-"))
    place, log = folder / "redis.sock", folder / "log"
    options = [
        "--port",
        "0",
        "--unixsocket",
        f"{place}",
        "--dir",
        f"{folder}",
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    with log.open("w") as output:
        guard = subprocess.Popen(
            ["/bin/sh", "-c", _STOPS_WITH_US, str(folder), program, *options],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for_ping(place, log)
        yield f"unix://{quote(str(place))}?db=0"
    finally:
        guard.communicate()


def _wait_for_ping(place: Path, log: Path, *, timeout: float = 15.0) -> None:
    deadline = time.monotonic() + timeout
    while True:
        with socket.socket(socket.AF_UNIX) as client, suppress(ConnectionError, FileNotFoundError):
            client.connect(str(place))
            client.sendall(b"PING\r\n")
            if client.recv(64).startswith(b"+PONG"):
                return
        if time.monotonic() > deadline:
            pytest.fail(f"redis-server does not answer; its log:\n{log.read_text()}", pytrace=False)
        time.sleep(0.005)
