"""TLS to Sentinels and to the master that they name: certificates and host names, right and wrong ones."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from plainsql.errors import RedisUnavailableError, SettingsError
from plainsql.limits import SyncLimits
from plainsql.redis_address import read_address
from plainsql.redis_connection import RedisConnection, Script
from tests.redis_server import RedisServer, free_port, redis_server, tls_options
from tests.tls import Authority

COUNT = Script("return redis.call('INCR', KEYS[1])")


class Sentinel(NamedTuple):
    """One Sentinel of several services, which are one server, with certificates for localhost."""

    server: RedisServer
    port: int
    files: str
    """The option of a URL that names the authority."""
    key: str
    """The options that name a certificate for a client."""


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sentinel]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    options = tls_options(authority, "localhost")
    port, by_tls = free_port(), free_port()
    services = {
        "shop": f"localhost {port}",
        "by-address": f"127.0.0.1 {port}",
        "six": f"::1 {port}",
        "away": f"localhost {free_port()}",
    }
    lines = [f"sentinel monitor {name} {place} 1" for name, place in services.items()]
    # Before the names of hosts.
    lines[:0] = ["sentinel resolve-hostnames yes", "sentinel announce-hostnames yes"]
    config = folder / "sentinel.conf"
    config.write_text("\n".join(lines) + "\n")
    ways = (*options, "--bind", "127.0.0.1", "::1", "--tls-replication", "yes")
    with ExitStack() as stack:
        server = stack.enter_context(redis_server(*ways, "--tls-port", str(port)))
        server.start()
        guard = redis_server("--sentinel", *ways, "--tls-port", str(by_tls), config=config)
        stack.enter_context(guard).start()
        certificate, key = authority.issue("client")
        own = f"ssl_certfile={certificate}&ssl_keyfile={key}"
        yield Sentinel(server, by_tls, f"ssl_ca_certs={authority.file}", own)


async def count(url: str) -> int:
    async with RedisConnection(url) as link:
        found: int = await link.run(COUNT, ["n"], [], deadline=30, trusted=True)
        return found


async def test_tls_leads_to_the_sentinels_and_to_the_master(sentinel: Sentinel) -> None:
    place = f"rediss+sentinel://localhost:{sentinel.port}"
    assert await count(f"{place}/shop?{sentinel.files}") == 1
    assert await count(f"{place}/shop?ssl_cert_reqs=none") == 2
    assert await count(f"{place}/by-address?{sentinel.files}&ssl_check_hostname=false") == 3
    six = place.replace("localhost", "[::1]")
    assert await count(f"{six}/six?{sentinel.files}&ssl_check_hostname=false") == 4
    with redis.Redis(unix_socket_path=str(sentinel.server.socket)) as client:
        client.config_set("tls-auth-clients", "yes")
        try:
            assert await count(f"{place}/shop?{sentinel.files}&{sentinel.key}") == 5
            # With TLS 1.3 the end of the connection may come before its reason.
            with pytest.raises(RedisUnavailableError, match=r"asks for one|cannot be reached") as raised:
                await count(f"{place}/shop?{sentinel.files}")
            assert "ssl_certfile" in str(raised.value.hint)
        finally:
            client.config_set("tls-auth-clients", "no")


def test_threads_use_it_too(sentinel: Sentinel) -> None:
    with SyncLimits(
        f"rediss+sentinel://localhost:{sentinel.port}/shop?{sentinel.files}", deadline=30
    ) as limits:
        assert limits.bucket("b", rate=10).consume("x")


async def test_what_is_wrong_is_named_with_its_server(sentinel: Sentinel) -> None:
    tls = f"localhost:{sentinel.port}"
    cases = [
        (f"rediss+sentinel://{tls}/shop?", tls, "a certificate that is not trusted", "ssl_ca_certs"),
        (f"rediss+sentinel://{tls}/by-address?{sentinel.files}", "127.0.0.1:", "another name", "announce-"),
        (f"redis+sentinel://{tls}/shop", tls, "cannot be reached", "rediss"),
        (f"rediss+sentinel://{tls}/away?{sentinel.files}", "localhost:", "cannot be reached", "announces"),
    ]
    for url, server, message, hint in cases:
        with pytest.raises(RedisUnavailableError, match=message) as raised:
            await count(url)
        assert server in f"{raised.value.message} {raised.value.detail}", url
        assert hint in str(raised.value.hint), url


@pytest.mark.parametrize("kind", ["rediss", "rediss+sentinel", "rediss+cluster"])
def test_options_that_tls_does_not_take_are_refused(kind: str, tmp_path: Path) -> None:
    path = "shop" if kind.endswith("sentinel") else "0"
    (tmp_path / "no.crt").write_text("Secret1")
    for option in (
        f"ssl_ca_certs={tmp_path}/away.crt",
        f"ssl_ca_certs={tmp_path}/no.crt",
        "ssl_ciphers=none",
        "ssl_min_version=TLSv1_9",
        "ssl_cert_reqs=perhaps",
    ):
        with pytest.raises(SettingsError, match="not the URL") as raised:
            RedisConnection(f"{kind}://:Secret1@localhost/{path}?{option}")
        assert "Secret1" not in str(raised.value)


def test_a_renewed_certificate_is_read_again(sentinel: Sentinel) -> None:
    url = f"rediss+sentinel://localhost:{sentinel.port}/shop?{sentinel.files}&{sentinel.key}"
    pool = read_address(url).open_pool(1)
    first = pool.make_connection().ssl_context
    assert pool.make_connection().ssl_context is first
    os.utime(re.findall(r"ssl_keyfile=(.*)", url)[0], ns=(1, 1))
    assert pool.make_connection().ssl_context is not first
