"""URLs of several servers, and what of a URL the asynchronous driver cannot honour."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

import plainsql
from plainsql.embedded import EmbeddedServer
from tests.database.ask import SELECT_1, one
from tests.proxy import Proxy, open_proxy

SETTING = one("select current_setting(:name)", "name")


async def over_asyncpg(url: str, **options: Any) -> str:
    async with plainsql.connect(url, **options) as db:
        return str(await SETTING(db, name="application_name"))


async def over_psycopg(url: str, **options: Any) -> str:
    def connect() -> str:
        with plainsql.sync.connect(url, **options) as db:
            return str(SETTING(db, name="application_name"))

    # The proxy of these tests runs in this loop.
    return await asyncio.to_thread(connect)


both = pytest.mark.parametrize("connect", [over_asyncpg, over_psycopg])


@pytest.fixture
async def second(server: EmbeddedServer) -> AsyncGenerator[Proxy]:
    async with open_proxy(server.socket) as proxy:
        yield proxy


def url_of(*proxies: Proxy, query: str = "sslmode=disable") -> str:
    hosts = ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies)
    return f"postgresql://postgres@{hosts}/postgres?{query}"


@both
async def test_the_first_server_that_answers_is_taken(
    connect: Callable[..., Any], proxy: Proxy, second: Proxy
) -> None:
    await connect(url_of(proxy, second))
    assert (proxy.accepted > 0, second.accepted) == (True, 0)
    proxy.refuse()
    await connect(url_of(proxy, second))
    assert second.accepted > 0


@both
async def test_hosts_may_stand_in_the_query(connect: Callable[..., Any], proxy: Proxy) -> None:
    await connect(
        f"postgresql:///postgres?user=postgres&host=127.0.0.1,127.0.0.1&port=1,{proxy.port}&sslmode=disable"
    )
    await connect(f"host=127.0.0.1 port={proxy.port} user=postgres dbname=postgres sslmode=disable")
    await connect(f"postgresql+asyncpg://postgres@nowhere.invalid:{proxy.port}/postgres?hostaddr=127.0.0.1")


async def test_a_silent_server_does_not_use_up_the_time_of_the_others(proxy: Proxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"postgresql://postgres@127.0.0.1:{port},127.0.0.1:{proxy.port}/postgres?sslmode=disable"
        async with plainsql.connect(url, connect_timeout=6) as db:
            assert await SELECT_1(db) == 1


@both
async def test_no_server_of_the_kind_that_is_asked_for_is_told(
    connect: Callable[..., Any], proxy: Proxy, second: Proxy
) -> None:
    with pytest.raises(plainsql.ConnectError, match="no reachable server is standby") as raised:
        await connect(url_of(proxy, second, query="sslmode=disable&target_session_attrs=standby"))
    assert "target_session_attrs" in (raised.value.hint or "")
    assert proxy.accepted > 0
    assert second.accepted > 0


@both
async def test_a_standby_may_be_preferred(connect: Callable[..., Any], proxy: Proxy) -> None:
    await connect(url_of(proxy, query="sslmode=disable&target_session_attrs=prefer-standby"))


async def test_a_server_that_is_no_longer_of_the_kind_is_told_at_a_call(server: EmbeddedServer) -> None:
    role = f"writer_{os.getpid()}"
    url = server.url().replace("//postgres@", f"//{role}@") + "&target_session_attrs=read-write"
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(SQL("create role {} login").format(Identifier(role)))
        async with plainsql.connect(url, max_size=1) as db:
            admin.execute(
                SQL("alter role {} set default_transaction_read_only = on").format(Identifier(role))
            )
            end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s"
            admin.execute(end, [role])
            with suppress(plainsql.ConnectionLostError):
                await SELECT_1(db)
            with pytest.raises(plainsql.ConnectError, match="no reachable server is read-write"):
                await SELECT_1(db)
            admin.execute(SQL("alter role {} reset default_transaction_read_only").format(Identifier(role)))
            assert await SELECT_1(db) == 1
        admin.execute(SQL("drop role {}").format(Identifier(role)))


async def test_load_may_be_balanced(proxy: Proxy, second: Proxy) -> None:
    url = url_of(proxy, second, query="sslmode=disable&load_balance_hosts=random")
    async with plainsql.connect(url, min_size=40, max_size=40):
        # All of them to one server: once in 2^39.
        assert proxy.accepted > 0
        assert second.accepted > 0


@both
async def test_the_application_is_named_by_the_option_then_by_the_url(
    connect: Callable[..., Any], server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.url() + "&application_name=a%20b%2Bc"
    assert await connect(server.url()) == "plainsql"
    assert await connect(url) == "a b+c"
    assert await connect(url, application_name="mine") == "mine"
    assert await connect(server.url() + "&fallback_application_name=url") == "url"
    monkeypatch.setenv("PGAPPNAME", "environment")
    assert await connect(server.url()) == "environment"
    assert await connect(url) == "a b+c"


@both
async def test_options_of_the_server_may_stand_in_the_url(
    connect: Callable[..., Any], server: EmbeddedServer
) -> None:
    options = quote("-c application_name=from\\ options", safe="")
    assert await connect(f"{server.url()}&options=-c%20work_mem%3D65kB") == "plainsql"
    async with plainsql.connect(f"{server.url()}&options=-c%20work_mem%3D65kB") as db:
        assert await SETTING(db, name="work_mem") == "65kB"
    async with plainsql.connect(f"{server.url()}&options={options}") as db:
        assert await SETTING(db, name="application_name") == "plainsql"


@both
async def test_a_service_names_the_database(
    connect: Callable[..., Any], server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "services"
    host = server.socket.parent
    file.write_text(f"[shop]\nhost={host}\nuser=postgres\ndbname=postgres\napplication_name=service\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    port = server.socket.name.rpartition(".")[2]
    assert await connect(f"postgresql:///?service=shop&port={port}") == "service"


@both
@pytest.mark.parametrize(
    "query",
    [
        "connect_timeout=20",
        "keepalives=1&keepalives_idle=10&keepalives_interval=5&keepalives_count=3&tcp_user_timeout=20000",
        "keepalives=0",
        "channel_binding=prefer",
        "channel_binding=disable",
        "gssencmode=prefer",
        "sslcompression=0",
        "sslsni=1",
        "min_protocol_version=3.0&max_protocol_version=3.2",
        "load_balance_hosts=disable",
        "fallback_application_name=x",
        "client_encoding=UTF8",
        "replication=0",
        "sslcertmode=allow",
        "krbsrvname=postgres",
        "target_session_attrs=any",
        "passfile=/nonexistent",
        "options=",
    ],
)
async def test_parameters_of_libpq_are_taken(connect: Callable[..., Any], proxy: Proxy, query: str) -> None:
    assert await connect(url_of(proxy, query=f"sslmode=disable&{query}"))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("channel_binding=require", "channel_binding=require: the asynchronous driver cannot bind"),
        ("require_auth=scram-sha-256", "require_auth=scram-sha-256: the asynchronous driver cannot limit"),
        ("gssencmode=require", "gssencmode=require: the asynchronous driver has no encryption by GSSAPI"),
        ("requirepeer=postgres", "requirepeer: the asynchronous driver cannot check"),
        ("sslcertmode=require", "sslcertmode=require: the asynchronous driver cannot tell"),
        ("sslcertmode=disable&sslmode=prefer", "cannot honour it with sslmode=prefer"),
        ("sslsni=0", "sslsni=0: the asynchronous driver always sends"),
        ("min_protocol_version=3.2", "min_protocol_version=3.2: the asynchronous driver speaks"),
        ("gssdelegation=1", "gssdelegation=1: the asynchronous driver delegates"),
        ("scram_client_key=s3cr3t", "scram_client_key: the asynchronous driver needs the password"),
        ("oauth_issuer=x", "oauth_issuer: the asynchronous driver cannot authenticate by OAuth"),
        ("replication=database", "replication=database: a connection for replication runs no queries"),
        ("client_encoding=LATIN1", "client_encoding: text is exchanged as UTF-8"),
        ("host=%40abstract", "host: the asynchronous driver cannot connect to an abstract socket"),
        (
            "sslmode=verify-full&sslrootcert=system&hostaddr=127.0.0.1",
            "hostaddr: the asynchronous driver verifies",
        ),
    ],
)
async def test_what_the_driver_cannot_do_is_refused_by_name(query: str, message: str, proxy: Proxy) -> None:
    with pytest.raises(plainsql.ConnectError) as raised:
        await over_asyncpg(f"postgresql://postgres@localhost:{proxy.port}/postgres?{query}")
    assert message in raised.value.message
    assert "s3cr3t" not in str(raised.value)
    assert raised.value.hint
    assert proxy.accepted == 0


async def test_a_variable_cannot_make_a_connection_weaker_than_it_says(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCHANNELBINDING", "require")
    with pytest.raises(plainsql.ConnectError, match="the variable PGCHANNELBINDING: channel_binding=require"):
        await over_asyncpg(proxy.url())
    assert proxy.accepted == 0


async def test_the_time_to_connect_may_stand_in_the_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/shop?sslmode=disable&connect_timeout=1"
        async with asyncio.timeout(60):
            with pytest.raises(plainsql.ConnectError, match="no answer in time"):
                await plainsql.connect(url)
