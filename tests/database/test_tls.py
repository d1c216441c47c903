"""TLS as a URL requires it: what works, and what is said when it does not, by both drivers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import plainsql
from plainsql.embedded import EmbeddedServer
from tests.database.ask import SELECT_1
from tests.proxy import Proxy
from tests.tls import Authority, TlsServer, open_tls, server_context


async def over_asyncpg(url: str) -> int:
    async with plainsql.connect(url, connect_timeout=20) as db:
        return int(await SELECT_1(db))


async def over_psycopg(url: str) -> int:
    def connect() -> int:
        with plainsql.sync.connect(url, connect_timeout=20) as db:
            return int(SELECT_1(db))

    # The proxy of these tests runs in this loop.
    return await asyncio.to_thread(connect)


both = pytest.mark.parametrize("connect", [over_asyncpg, over_psycopg])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates: of the server, of others, of a client."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    authority.issue("localhost")
    authority.issue("127.0.0.1")
    authority.issue("expired.example", days=-1)
    authority.issue("client")
    authority.issue("locked", password="s3cr3t")
    Authority(folder, "stranger").issue("client")
    (folder / "garbage.pem").write_text("no certificate\n")
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without files of their own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def tls(server: EmbeddedServer, files: Path) -> Iterator[TlsServer]:
    """A server whose certificate is for localhost."""
    certificate, key = files / "authority-localhost.crt", files / "authority-localhost.key"
    with open_tls(server.socket, server_context(certificate, key)) as tls:
        yield tls


def url_of(tls: TlsServer | Proxy, query: str, *, host: str = "localhost") -> str:
    return f"postgresql://postgres@{host}:{tls.port}/postgres?{query}"


@both
@pytest.mark.parametrize(
    "query",
    [
        "sslmode=prefer",
        "sslmode=require",
        "ssl=true",
        "requiressl=1",
        "sslmode=verify-ca&sslrootcert={files}/authority.crt",
        "sslmode=verify-full&sslrootcert={files}/authority.crt",
        "sslmode=require&sslrootcert={files}/authority.crt",
        "sslmode=require&ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.3",
        "sslmode=require&sslcertmode=disable&sslcert=/nonexistent.crt",
        "sslmode=require&sslcert={files}/authority-client.crt&sslkey={files}/authority-client.key",
        (
            "sslmode=require&sslcert={files}/authority-locked.crt&sslkey={files}/authority-locked.key"
            "&sslpassword=s3cr3t"
        ),
        "sslmode=require&sslcompression=1&sslnegotiation=postgres&channel_binding=prefer&gssencmode=disable",
    ],
)
async def test_a_url_may_ask_for_tls(
    connect: Callable[..., Any], tls: TlsServer, files: Path, query: str
) -> None:
    assert await connect(url_of(tls, query.format(files=files))) == 1
    assert tls.encrypted > 0


@both
async def test_tls_may_begin_at_once(
    connect: Callable[..., Any], server: EmbeddedServer, files: Path
) -> None:
    certificate, key = files / "authority-localhost.crt", files / "authority-localhost.key"
    context = server_context(certificate, key)
    context.set_alpn_protocols(["postgresql"])
    with open_tls(server.socket, context, direct=True) as tls:
        assert await connect(url_of(tls, "sslmode=require&sslnegotiation=direct")) == 1


@both
@pytest.mark.parametrize(
    ("query", "host", "message", "hint"),
    [
        (
            "sslmode=verify-full&sslrootcert={files}/authority.crt",
            "127.0.0.1",
            "the server's certificate is for another host",
            "connect by a name that the certificate has",
        ),
        (
            "sslmode=verify-full&sslrootcert={files}/stranger.crt",
            "localhost",
            "authority",
            "sslrootcert=FILE",
        ),
        (
            "sslmode=verify-ca&sslrootcert={files}/stranger.crt",
            "127.0.0.1",
            "authority",
            "sslrootcert=FILE",
        ),
        (
            "sslrootcert=system",
            "localhost",
            "authority",
            "sslrootcert=FILE",
        ),
        (
            "sslmode=verify-full",
            "localhost",
            "there is no root certificate to verify the server's",
            "write sslrootcert=FILE",
        ),
        ("sslmode=verify-ca", "localhost", "there is no root certificate", "write sslrootcert=FILE"),
        (
            "sslmode=require&sslrootcert=system",
            "localhost",
            "would let any server in",
            "write sslmode=verify-full",
        ),
        (
            "sslmode=verify-full&sslrootcert=/nonexistent.pem",
            "localhost",
            "/nonexistent.pem",
            "sslrootcert",
        ),
        ("sslmode=verify-full&sslrootcert={files}/garbage.pem", "localhost", "garbage.pem", ""),
        ("sslmode=require&sslcert=/nonexistent.crt", "localhost", "/nonexistent.crt", "sslcert"),
        (
            "sslmode=require&sslcert={files}/authority-client.crt&sslkey=/nonexistent.key",
            "localhost",
            "/nonexistent.key",
            "sslkey",
        ),
        (
            "sslmode=require&sslcert={files}/authority-client.crt&sslkey={files}/authority-localhost.key",
            "localhost",
            "authority-",
            "",
        ),
        ("sslmode=prefer&sslnegotiation=direct", "localhost", "sslmode", "sslmode=require"),
    ],
)
async def test_a_problem_of_tls_is_said_to_be_one(
    connect: Callable[..., Any],
    tls: TlsServer,
    files: Path,
    query: str,
    host: str,
    message: str,
    hint: str,
) -> None:
    with pytest.raises(plainsql.ConnectError) as raised:
        await connect(url_of(tls, query.format(files=files), host=host))
    error = raised.value
    assert message in error.message
    assert error.hint
    assert hint in error.hint
    for wrong in ("cannot be read", "nothing answers", "no server's socket", "in time"):
        assert wrong not in error.message


@both
async def test_a_certificate_that_has_expired_is_told(
    connect: Callable[..., Any], server: EmbeddedServer, files: Path
) -> None:
    context = server_context(files / "authority-expired.example.crt", files / "authority-expired.example.key")
    expired = pytest.raises(plainsql.ConnectError, match="has expired")
    with open_tls(server.socket, context) as tls, expired:
        await connect(url_of(tls, f"sslmode=verify-ca&sslrootcert={files}/authority.crt"))


@both
@pytest.mark.parametrize("of", ["nobody", "stranger"])
async def test_a_server_that_wants_another_certificate_of_the_client_is_told(
    connect: Callable[..., Any], server: EmbeddedServer, files: Path, of: str
) -> None:
    context = server_context(
        files / "authority-localhost.crt",
        files / "authority-localhost.key",
        clients=files / "authority.crt",
    )
    mine = f"&sslcert={files}/authority-client.crt&sslkey={files}/authority-client.key"
    with open_tls(server.socket, context) as tls:
        assert await connect(url_of(tls, "sslmode=require" + mine)) == 1
        query = "sslmode=require" + (mine.replace("authority-", "stranger-") if of == "stranger" else "")
        with pytest.raises(plainsql.ConnectError) as raised:
            await connect(url_of(tls, query))
    # The alert may be lost with the connection.
    assert re.search("accept the client's certificate|closed the connection", raised.value.message)
    assert "sslcert" in (raised.value.hint or "")


@both
async def test_a_server_without_tls_is_told(connect: Callable[..., Any], proxy: Proxy) -> None:
    with pytest.raises(plainsql.ConnectError) as raised:
        await connect(url_of(proxy, "sslmode=require", host="127.0.0.1"))
    assert "the server does not offer TLS, and the URL asks for it" in raised.value.message
    assert await connect(url_of(proxy, "sslmode=prefer", host="127.0.0.1")) == 1


@both
async def test_a_socket_needs_no_tls(connect: Callable[..., Any], server: EmbeddedServer) -> None:
    assert await connect(server.url() + "&sslmode=require&sslrootcert=/nonexistent") == 1


async def test_files_are_read_again_for_each_connection(
    server: EmbeddedServer, tls: TlsServer, files: Path, tmp_path: Path
) -> None:
    roots = tmp_path / "roots.crt"
    roots.write_bytes((files / "authority.crt").read_bytes())
    url = url_of(tls, f"sslmode=verify-full&sslrootcert={roots}")
    async with plainsql.connect(url, max_size=1, max_lifetime=0) as db:
        assert await SELECT_1(db) == 1
        roots.write_bytes((files / "stranger.crt").read_bytes())
        with pytest.raises(plainsql.ConnectError, match="not signed by an authority"):
            await SELECT_1(db)
        roots.write_bytes((files / "authority.crt").read_bytes())
        assert await SELECT_1(db) == 1
