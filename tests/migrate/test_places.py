"""Migrations that cannot work: through a pooler, on a standby, as a role without the privileges."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from plainsql import migrate
from plainsql.embedded import EmbeddedServer
from plainsql.errors import ConnectError, MigrationError
from tests.failover import Node, failover_pair
from tests.migrate.conftest import Query, Write
from tests.pgbouncer import pgbouncer, url_through

FILES = {"0001_a.sql": "create table a ();", "0001_a.rollback.sql": "drop table a;"}


def database_of(url: str) -> str:
    return urlsplit(url).path.lstrip("/")


@pytest.fixture(scope="module")
def by_transaction(server: EmbeddedServer) -> Generator[Path]:
    with pgbouncer(server, "transaction") as folder:
        yield folder


@pytest.fixture(scope="module")
def by_session(server: EmbeddedServer) -> Generator[Path]:
    with pgbouncer(server, "session") as folder:
        yield folder


def test_a_pooler_in_transaction_mode_is_refused_before_anything_is_done(
    write: Write, fresh_database_url: str, query: Query, by_transaction: Path
) -> None:
    folder, url = write(FILES), url_through(by_transaction, database_of(fresh_database_url))
    for run in (
        lambda: migrate.apply(url, folder),
        lambda: migrate.rollback(url, folder),
        lambda: migrate.mark(url, folder, "0001", force=True),
        # Said to be in session mode, it is found out.
        lambda: migrate.apply(url, folder, pooler="session"),
    ):
        with pytest.raises(ConnectError, match="needs a session of its own, and a pooler") as caught:
            run()
        assert "connect to PostgreSQL itself" in str(caught.value.hint)
    assert query("select count(*) from pg_class where relname ~ 'yoyo|plainsql'") == [(0,)]
    assert query(
        "select count(*) from pg_locks where locktype = 'advisory' and database = "
        "(select oid from pg_database where datname = current_database())"
    ) == [(0,)]


def test_looking_works_through_a_pooler_and_leaves_nothing_there(
    write: Write, fresh_database_url: str, by_transaction: Path
) -> None:
    folder, url = write(FILES), url_through(by_transaction, database_of(fresh_database_url))
    migrate.apply(fresh_database_url, folder)
    for _ in range(8):  # psycopg prepares by name what it is given more than five times
        assert migrate.status(url, folder).is_current
        assert migrate.apply(url, folder, dry_run=True).planned == ()
    with psycopg.connect(url, autocommit=True) as other:
        assert other.pgconn.exec_(b"select count(*) from pg_prepared_statements").get_value(0, 0) == b"0"


def test_a_pooler_in_session_mode_must_be_named(
    write: Write, fresh_database_url: str, query: Query, by_session: Path
) -> None:
    folder, url = write(FILES), url_through(by_session, database_of(fresh_database_url))
    with pytest.raises(ConnectError, match="needs a session") as caught:
        migrate.apply(url, folder)
    assert "--pooler session" in str(caught.value.hint)
    assert migrate.apply(url, folder, pooler="session").done == ("0001_a",)
    assert migrate.rollback(url, folder, pooler="session").done == ("0001_a",)


def test_a_read_only_database_is_named_as_that(write: Write, fresh_database_url: str, query: Query) -> None:
    folder = write(FILES)
    query(f'alter database "{database_of(fresh_database_url)}" set default_transaction_read_only = on')
    with pytest.raises(MigrationError, match=r"(?s)transactions are read-only here.*alter role "):
        migrate.apply(fresh_database_url, folder)
    assert migrate.status(fresh_database_url, folder).pending
    writable = f"{fresh_database_url}&options=-c%20default_transaction_read_only%3Doff"
    migrate.apply(writable, folder)
    read_only = writable.replace("Doff", "Don")
    with pytest.raises(MigrationError, match=r"HINT: this connection sets it: remove .* from PGOPTIONS"):
        migrate.rollback(read_only, folder)
    # With nothing to do, nothing is refused: a deployment may connect to a standby.
    assert migrate.apply(fresh_database_url, folder).done == ()
    with pytest.raises(MigrationError, match="transactions are read-only here"):
        migrate.rollback(fresh_database_url, folder)
    with pytest.raises(MigrationError, match="transactions are read-only here"):
        migrate.mark(fresh_database_url, folder, "0001", applied=False, force=True)


@pytest.fixture
def plain_role(fresh_database_url: str, query: Query) -> Generator[str]:
    """The URL of a role that may create nothing."""
    name = f"plain_{database_of(fresh_database_url)[-12:]}"
    query(f"create role {name} login")
    yield fresh_database_url.replace("postgres@", f"{name}@")
    query(f"drop owned by {name}")
    query(f"drop role {name}")


def test_a_role_that_may_create_nothing_gets_the_missing_privileges(
    write: Write, fresh_database_url: str, query: Query, plain_role: str
) -> None:
    folder = write(FILES)
    role = urlsplit(plain_role).username
    # It may look: nothing is recorded yet.
    assert migrate.status(plain_role, folder).pending
    with pytest.raises(MigrationError, match="permission denied for schema public") as caught:
        migrate.apply(plain_role, folder)
    assert f"grant {role} create on the schema of the records" in str(caught.value.hint)
    migrate.apply(fresh_database_url, folder)
    with pytest.raises(MigrationError, match="permission denied for table") as caught:
        migrate.status(plain_role, folder)
    assert "(for 'migrate status', select)" in str(caught.value.hint)
    query(f"grant select on _yoyo_migration, plainsql_migration to {role}")
    assert migrate.status(plain_role, folder).is_current
    # Nothing to do needs no right to do it.
    assert migrate.apply(plain_role, folder).done == ()


def test_a_standby_is_named_and_a_starting_server_waited_for(write: Write) -> None:
    folder = write(FILES)
    with failover_pair() as (primary, standby):
        migrate.apply(primary.url(), folder)
        write({"0002_b.sql": "-- transactional: false\ncreate table b ();"})
        write({"0002_b.rollback.sql": "drop table b;"})
        standby.wait_for(primary)
        with pytest.raises(
            MigrationError, match="this server is a standby, which accepts no writes"
        ) as caught:
            migrate.apply(standby.url(), folder)
        assert "connect to the primary" in str(caught.value.hint)
        assert [item.id for item in migrate.status(standby.url(), folder).pending] == ["0002_b"]
        migrate.apply(primary.url(), folder)
        standby.wait_for(primary)
        assert migrate.apply(standby.url(), folder).done == ()
        # A server that is not there yet, then starts up, then accepts connections.
        primary.stop()
        command = [sys.executable, "-m", "plainsql", "migrate", "rollback", "--database", primary.url()]
        with (
            subprocess.Popen(
                [*command, "--wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process,
            killed_at_the_end(process),
        ):
            assert process.stdout is not None
            assert process.stderr is not None
            assert "waiting for the server: cannot connect to" in (line := process.stderr.readline())
            assert line.endswith(f": there is no server socket in {primary.folder}\n")
            start_and_hold(primary)
            assert process.stderr.readline().endswith(": the server is starting up or shutting down\n")
            # Without the option, and for what no wait changes, it fails immediately.
            with pytest.raises(ConnectError, match="the server is starting up"):
                migrate.apply(primary.url(), folder)
            (primary.folder / "go").touch()
            assert process.wait(60) == 0
            assert process.stdout.read().startswith("0002_b … ")
        with pytest.raises(ConnectError, match="the database 'nope' does not exist"):
            migrate.apply(primary.url("nope"), folder, server_wait=1000)
        hba = primary.data / "pg_hba.conf"
        hba.write_text(f"local all locked scram-sha-256\n{hba.read_text()}")
        primary.execute("create role locked login password 'right'")
        primary.execute("select pg_reload_conf()")
        wrong = primary.url(user="locked:wrong")
        with pytest.raises(ConnectError, match="the server refuses the password of locked"):
            migrate.apply(wrong, folder, server_wait=1000)
        with pytest.raises(ConnectError, match=r"no server socket(.|\n)*DETAIL: waited 0\.1 s"):
            migrate.apply(f"postgresql:///x?host={primary.data}", folder, server_wait=0.1)
        with pytest.raises(ConnectError, match=r"no server answers there(.|\n)*DETAIL: waited 0\.1 s"):
            migrate.apply("postgresql://127.0.0.1:1/x", folder, server_wait=0.1)
        with closing_proxy() as port, pytest.raises(ConnectError, match=r"closed the(.|\n)*waited 0\.1 s"):
            migrate.apply(f"postgresql://127.0.0.1:{port}/x?sslmode=disable", folder, server_wait=0.1)


@contextmanager
def closing_proxy() -> Generator[int]:
    """Accept connections and close them, as the proxy of a container that has not started; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextmanager
def killed_at_the_end(process: subprocess.Popen[str]) -> Generator[None]:
    try:
        yield
    finally:
        process.kill()


def start_and_hold(node: Node) -> None:
    """Start a server, which recovers from an archive until there is a file `go`."""
    (node.data / "recovery.signal").touch()
    node.give(node.data / "recovery.signal")
    command = f"until [ -e {node.folder}/go ]; do sleep 0.02; done; false"
    with (node.data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        file.write(f"restore_command = '{command}'\n")
    options = f"-c unix_socket_directories={node.folder} -c listen_addresses= -c hot_standby=off"
    node.run("pg_ctl", "start", "-W", "-s", "-D", node.data, "-l", node.folder / "server.log", "-o", options)
