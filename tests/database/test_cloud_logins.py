"""Passwords that a function makes, TLS and sessions that options prepare: by both executors."""

from __future__ import annotations

import asyncio
import fcntl
import os
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql import ConnectError, OptionError, sync
from plainsql.embedded import EmbeddedServer
from tests.database.ask import all_text, one
from tests.tls import Authority, open_tls, server_context

PID = one("select pg_backend_pid()")
SETTING = one("select current_setting('plainsql_test.mark', true)")
USER = one("select current_user::text")


class Role:
    """A role whose password the server requires, and changes."""

    def __init__(self, server: EmbeddedServer, admin: psycopg.Connection[Any]) -> None:
        self.name = f"cloud_{os.getpid()}"
        self.url = server.url().replace("//postgres@", f"//{self.name}@")
        self._admin = admin
        self.calls = 0
        self.token = ""
        """The password that the function returns."""
        with suppress(psycopg.errors.DuplicateObject):
            admin.execute(f"create role {self.name} login".encode())
        (file,) = admin.execute("show hba_file").fetchone() or ("",)
        access = Path(str(file))
        with access.open("r+") as lock:  # the other workers use this server as well
            fcntl.flock(lock, fcntl.LOCK_EX)
            if "/^cloud_" not in access.read_text():
                access.write_text("local all /^cloud_ scram-sha-256\n" + access.read_text())
        self.change("first")
        admin.execute("select pg_reload_conf()")
        for _ in range(1000):  # until the server has read it, any password is right
            try:
                psycopg.connect(self.url, password="wrong").close()
            except psycopg.OperationalError:
                break

    def change(self, token: str, until: str = "infinity") -> None:
        """Change the password on the server, and what the function returns."""
        self._admin.execute(f"alter role {self.name} password '{token}' valid until '{until}'".encode())
        self.token = token

    def end(self, pid: int) -> None:
        """End a session, and wait until it is gone."""
        self._admin.execute("select pg_terminate_backend(%s, 10000)", [pid])

    def listening(self) -> int:
        """The process id of the session of the role that listens."""
        (pid,) = self._admin.execute(
            "select pid from pg_stat_activity where usename = %s and query like 'LISTEN%%'", [self.name]
        ).fetchone() or (0,)
        return int(pid)

    def __call__(self) -> str:
        self.calls += 1
        return self.token


@pytest.fixture
def role(server: EmbeddedServer) -> Iterator[Role]:
    with psycopg.connect(server.url(), autocommit=True) as admin:
        made = Role(server, admin)
        try:
            yield made
        finally:
            admin.execute(f"drop role {made.name}".encode())


async def test_a_token_is_renewed_for_each_new_connection(role: Role) -> None:
    made: list[str] = []

    async def token() -> str:
        made.append(role())
        return made[-1]

    def of_a_library() -> Awaitable[str]:  # not async itself
        return token()

    for password in (role, token, of_a_library):
        role.change("first-s3cr3t")
        async with plainsql.connect(role.url, password=password, max_size=2) as db:
            first = await PID(db)
            # The token ends, and its connection does not: the server checks it at the login alone.
            role.change("second-s3cr3t")
            assert await PID(db) == first
            async with db.acquire() as held:  # a second connection, with the second token
                assert await held.fetchval("select 1") == 1
                await PID(db)
            role.change("third-s3cr3t", until="1999-01-01")
            role.end(first)
            role.change("fourth-s3cr3t")
            assert await asyncio.gather(*[USER(db)] * 3) == [role.name] * 3
            async with db.listen("a") as notifications:  # a listener connects again as well
                role.change("fifth-s3cr3t")
                role.end(role.listening())
                assert (await anext(notifications)).gap
            assert "s3cr3t" not in repr(db) + repr(db.__dict__) + repr(vars(plainsql.connect(role.url)))
    assert made[:1] == ["first-s3cr3t"]
    with sync.Pool(role.url, password=role, max_size=2) as pool:
        role.change("sixth-s3cr3t")
        role.end(PID(pool))
        assert USER(pool) == role.name
    calls = role.calls
    with sync.connect(role.url, password=role) as script:
        role.change("seventh-s3cr3t")
        role.end(PID(script))
        with suppress(psycopg.OperationalError):
            USER(script)
        assert USER(script) == role.name
    assert role.calls == calls + 2
    with sync.connect(role.url, password="seventh-s3cr3t") as script:
        assert USER(script) == role.name


async def test_a_password_that_changed_meanwhile_is_fetched_again(role: Role) -> None:
    # The function had the old password when the server got the new one.
    for connect in (_async_user, _sync_user):
        found = iter(["old-s3cr3t", "new-s3cr3t"])
        role.change("new-s3cr3t")
        assert await connect(role.url, password=lambda found=found: next(found)) == role.name
        role.change("late-s3cr3t", until="1999-01-01")
        calls = role.calls
        with pytest.raises(ConnectError, match="the server refuses the password of") as raised:
            await connect(role.url, password=role)
        assert role.calls == calls + 2
        assert "s3cr3t" not in all_text(raised.value)


async def _async_user(url: str, **options: Any) -> Any:
    async with plainsql.connect(url, **options) as db:
        return await USER(db)


async def _sync_user(url: str, **options: Any) -> Any:
    with sync.connect(url, **options) as db:
        return USER(db)


def _raises() -> str:
    raise KeyError("s3cr3t")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_raises, "password: the function raised KeyError at test_cloud_logins.py:"),
        (lambda: next(iter(())), "password: the function raised StopIteration at test_cloud_logins.py:"),
        (lambda: None, "password: expected a str from the function, got NoneType"),
        (lambda: b"s3cr3t", "password: expected a str from the function, got bytes"),
        (lambda: "", "password: expected a str from the function, got an empty str"),
        (lambda: "s3cr3t\0", "password: expected a str from the function, got a str with a zero byte"),
    ],
)
async def test_a_function_without_a_password_fails_the_connection(
    server: EmbeddedServer, function: Callable[[], Any], message: str
) -> None:
    for connect in (_async_user, _sync_user):
        with pytest.raises(ConnectError) as raised:
            await connect(server.url(), password=function)
        assert raised.value.message.startswith(message)
        assert "s3cr3t" not in all_text(raised.value)


async def test_a_session_is_prepared_and_again_after_a_reset(server: EmbeddedServer) -> None:
    seen: list[int] = []

    async def prepare(connection: Any) -> None:
        seen.append(connection.get_server_pid())
        await connection.execute("set plainsql_test.mark = 'set'")

    async with plainsql.connect(server.url(), on_connect=prepare, max_size=1) as db:
        assert await SETTING(db) == "set"
        async with db.acquire() as connection:
            await connection.execute("set plainsql_test.mark = 'changed'")
        assert await SETTING(db) == "set"
        assert len(seen) >= 2
        assert set(seen) == {await PID(db)}

    def prepare_session(connection: psycopg.Connection[Any]) -> None:
        connection.execute("set plainsql_test.mark = 'set'")

    with sync.connect(server.url(), on_connect=prepare_session) as script:
        assert SETTING(script) == "set"
    with sync.Pool(server.url(), on_connect=prepare_session, max_size=1) as pool:
        for change in ("set plainsql_test.mark = 'changed'", "prepare of_mine as select 1"):
            assert SETTING(pool) == "set"
            with pool.acquire() as connection:
                connection.execute(change.encode())
        assert SETTING(pool) == "set"


async def test_a_session_that_cannot_be_prepared_is_refused(server: EmbeddedServer) -> None:
    async def fails(connection: Any) -> None:
        await connection.execute("select 's3cr3t'::integer")

    async def begins(connection: Any) -> None:
        await connection.execute("begin")

    async def prepares(_: Any) -> None:
        raise AssertionError("not reached")

    for function, options, message in (
        (fails, {}, "on_connect: the function raised InvalidTextRepresentationError at "),
        (begins, {}, "on_connect: expected no open transaction after the function, got one"),
        (
            prepares,
            {"pooler": "transaction"},
            "on_connect: expected a session for each connection, got a pooler",
        ),
    ):
        with pytest.raises(ConnectError) as raised:
            await _async_user(server.url(), on_connect=function, **options)
        assert raised.value.message.startswith(message)
        assert "s3cr3t" not in all_text(raised.value)
    for sync_function, options, message in (
        (lambda c: c.execute("select 's3cr3t'::integer"), {}, "on_connect: the function raised InvalidText"),
        (lambda c: c.execute("begin"), {}, "on_connect: expected no open transaction after the function"),
        (lambda c: None, {"pooler": "transaction"}, "on_connect: expected a session for each connection"),
    ):
        with pytest.raises(ConnectError) as raised:
            await _sync_user(server.url(), on_connect=sync_function, **options)
        assert raised.value.message.startswith(message)
        assert "s3cr3t" not in all_text(raised.value)


async def test_tls_may_be_given_apart_from_the_url(server: EmbeddedServer, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("localhost")
    context = ssl.create_default_context(cafile=authority.file)
    with open_tls(server.socket, server_context(certificate, key)) as tls:
        url = f"postgresql://postgres@localhost:{tls.port}/postgres?sslmode=disable"
        assert await _async_user(url, ssl=context) == "postgres"
        assert tls.encrypted == 1
        with pytest.raises(ConnectError, match="certificate"):
            await _async_user(url, ssl=ssl.create_default_context())
        rooted = f"{url}&sslrootcert={authority.file}"
        assert await _async_user(rooted, ssl="verify-full") == "postgres"
        assert await _sync_user(rooted, ssl="verify-full") == "postgres"
        assert tls.encrypted == 3
        with sync.Pool(rooted, ssl="require") as pool:
            assert USER(pool) == "postgres"
    cases: list[tuple[str, dict[str, Any]]] = [
        ("expected an ssl.SSLContext, a mode such as 'verify-full', or None, got 'yes'", {"ssl": "yes"}),
        ("password: expected a non-empty str, a function that returns one, or None", {"password": 3}),
        ("on_connect: expected an async function, or None, got a function that", {"on_connect": print}),
    ]
    for wrong, options in cases:
        with pytest.raises(OptionError) as raised:
            plainsql.connect(server.url(), **options)
        assert wrong in str(raised.value)
    refused: list[dict[str, Any]] = [{"ssl": context}, {"password": _async_user}, {"on_connect": _async_user}]
    for option in refused:
        with pytest.raises(OptionError):
            sync.connect(server.url(), **option)
