"""The errors of connecting, from both executors, never with a password."""

from __future__ import annotations

import fcntl
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

import plainsql
from plainsql.database.pool.connection_classes import DriverConnection
from plainsql.database.pool.connector import Connector
from plainsql.embedded import EmbeddedServer
from tests.database.ask import SELECT_1, all_text, one

SECRET = "s3cr3t-w0rd"


async def over_asyncpg(url: str, **options: Any) -> None:
    async with plainsql.connect(url, **options) as db:
        await SELECT_1(db)


async def over_psycopg(url: str, **options: Any) -> None:
    with plainsql.sync.connect(url, **options) as db:
        SELECT_1(db)


both = pytest.mark.parametrize("connect", [over_asyncpg, over_psycopg])


async def refused(connect: Callable[..., Any], url: str, **options: Any) -> plainsql.ConnectError:
    with pytest.raises(plainsql.ConnectError) as raised:
        await connect(url, **options)
    assert SECRET not in all_text(raised.value)
    return raised.value


@both
async def test_a_database_that_does_not_exist_is_told_by_its_name(
    server: EmbeddedServer, connect: Callable[..., Any]
) -> None:
    error = await refused(connect, server.url("nowhere"))
    assert error.message.endswith(": the database 'nowhere' does not exist")
    assert error.hint == "create it: createdb nowhere"


@both
async def test_a_server_that_is_not_there_is_told(connect: Callable[..., Any], unused_tcp_port: int) -> None:
    error = await refused(connect, f"postgresql://me:{SECRET}@127.0.0.1:{unused_tcp_port}/shop")
    assert error.message == (
        f"cannot connect to postgresql://me:***@127.0.0.1:{unused_tcp_port}/shop: no server answers there"
    )
    assert error.hint == "start the server, or check the host and port in the URL"


@both
async def test_a_socket_that_is_not_there_is_told(connect: Callable[..., Any], tmp_path: Path) -> None:
    error = await refused(connect, f"postgresql://me:{SECRET}@/shop?host={tmp_path}")
    assert f"there is no server socket in {tmp_path}" in error.message


@both
async def test_a_host_that_is_not_known_is_told(connect: Callable[..., Any]) -> None:
    error = await refused(connect, f"postgresql://me:{SECRET}@no-such-host.invalid/shop")
    assert "the host 'no-such-host.invalid' is not known" in error.message


@both
async def test_a_role_that_does_not_exist_is_told(
    server: EmbeddedServer, connect: Callable[..., Any]
) -> None:
    error = await refused(connect, server.url().replace("//postgres@", f"//nobody:{SECRET}@"))
    assert "the server does not let nobody in" in error.message
    assert error.detail is not None
    assert "nobody" in error.detail


@both
async def test_too_many_connections_are_told(server: EmbeddedServer, connect: Callable[..., Any]) -> None:
    exists = suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation)
    with psycopg.connect(server.url(), autocommit=True) as connection, exists:
        connection.execute("create role nobody_more login connection limit 0")
    error = await refused(connect, server.url().replace("//postgres@", f"//nobody_more:{SECRET}@"))
    assert "the server has no free connection" in error.message


@pytest.fixture
def guest_url(server: EmbeddedServer) -> str:
    """The URL of a role whose password the server requires: ``right``."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            connection.execute("create role guest login password 'right'")
        (file,) = connection.execute("show hba_file").fetchone() or ("",)
        access = Path(str(file))
        with access.open("r+") as lock:  # the other workers use this server as well
            fcntl.flock(lock, fcntl.LOCK_EX)
            if "guest" not in access.read_text():
                access.write_text("local all guest scram-sha-256\n" + access.read_text())
        connection.execute("select pg_reload_conf()")
        # Until the server has read it, the guest gets in without a password.
        url = server.url().replace("//postgres@", "//guest:{}@")
        for _ in range(1000):
            try:
                psycopg.connect(url.format("wrong")).close()
            except psycopg.OperationalError:
                break
    return url


@both
async def test_a_wrong_password_is_told_and_not_shown(connect: Callable[..., Any], guest_url: str) -> None:
    await connect(guest_url.format("right"))
    error = await refused(connect, guest_url.format(SECRET))
    assert "the server refuses the password of guest" in error.message
    assert ":***@" in error.message


@both
@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@localhost:port/shop",
        f"postgresql://me:{SECRET}@localhost:99999/shop",
        f"postgresql://me:{SECRET}@[::1/shop",
        f"postgresql://me:{SECRET}/x@localhost/shop",
        f"postgresql://me:x/{SECRET}@localhost/shop",
        f"mysql://me:{SECRET}@localhost/shop",
        f"postgresql://me@localhost/shop?password={SECRET}&nonsense=1",
        f"host=localhost password={SECRET} nonsense",
        "postgresql://me@localhost/shop?sslmode=nonsense",
    ],
)
async def test_a_url_that_cannot_be_read_is_told_without_its_password(
    connect: Callable[..., Any], url: str
) -> None:
    error = await refused(connect, url, connect_timeout=2)
    assert error.hint is not None


@both
async def test_a_database_is_shown_without_its_password(
    connect: Callable[..., Any], database_url: str
) -> None:
    url = re.sub(r"//(\w+)@", rf"//\1:{SECRET}@", database_url)
    if connect is over_asyncpg:
        async with plainsql.connect(url) as db:
            assert SECRET not in repr(db)
    else:
        with plainsql.sync.connect(url) as db:
            assert SECRET not in repr(db)


@both
async def test_a_server_that_keeps_silent_is_given_up(connect: Callable[..., Any]) -> None:
    # The system accepts for a listener that never does.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"postgresql://me:{SECRET}@127.0.0.1:{port}/shop?sslmode=disable"
        error = await refused(connect, url, connect_timeout=0.2)
    assert "no answer in time" in error.message


async def test_the_application_is_named(database_url: str) -> None:
    name = one("select current_setting('application_name')")
    async with plainsql.connect(database_url) as db:
        assert await name(db) == "plainsql"
    with plainsql.sync.connect(database_url, application_name="nightly") as db:
        assert name(db) == "nightly"


async def test_a_connection_that_ends_in_its_set_up_is_opened_again(database_url: str) -> None:
    ends = 1

    async def set_up(connection: Any) -> None:
        nonlocal ends
        if ends:
            ends -= 1
            connection._abort()  # the server ends it, and the driver goes on with the next step
            await connection._protocol.query("select 1", None)

    connector = Connector(asyncpg.connect, {"dsn": database_url}, DriverConnection, timeout=5, set_up=set_up)
    connection: Any = await connector.open()
    assert await connection.fetchval("select 1") == 1
    connection.terminate()
    ends = 9
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await connector.open()
