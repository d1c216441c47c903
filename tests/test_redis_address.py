"""The URLs of Redis: one server, Sentinels, a cluster; none shows a password."""

from __future__ import annotations

import pytest

from plainsql.errors import SettingsError
from plainsql.redis_address import Node, read_address
from plainsql.redis_connection import RedisConnection
from plainsql.settings import hide_password


def test_a_url_of_sentinels_has_two_logins() -> None:
    address = read_address(
        "rediss+sentinel://ana:s%40cret@one:1,[::1]:2,three/shop/4"
        "?sentinel_username=bea&sentinel_password=w%26rd&client_name=web"
    )
    assert (address.kind, address.service) == ("sentinel", "shop")
    assert address.nodes == (Node("one", 1), Node("::1", 2), Node("three", 26379))
    assert address.sentinel_login == {"username": "bea", "password": "w&rd"}
    options = address.open_pool(1).connection_kwargs
    assert [options[name] for name in ("username", "password", "db", "client_name")] == [
        "ana",
        "s@cret",
        4,
        "web",
    ]
    assert str(address) == "shop of the Sentinels one:1, [::1]:2, three:26379"
    for secret in ("s@cret", "s%40cret", "w&rd", "w%26rd"):
        assert secret not in f"{address!r} {address}"


def test_a_url_of_a_cluster_has_nodes_and_one_login() -> None:
    address = read_address("redis+cluster://:secret@one:7000,two")
    assert (address.kind, address.nodes) == ("cluster", (Node("one", 7000), Node("two", 6379)))
    assert address.open_pool(1).connection_kwargs["password"] == "secret"
    assert "secret" not in repr(address)


@pytest.mark.parametrize("url", ["redis://h:1/0", "rediss://h", "unix:///a/b.sock"])
def test_other_urls_are_those_of_one_server(url: str) -> None:
    assert read_address(url).kind == "server"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis+sentinel://:Secret1@h:1", "the name of the service is missing"),
        ("redis+sentinel://:Secret1@h:1/", "the name of the service is missing"),
        ("redis+sentinel://:Secret1@h:1/shop/x", "the number of a database"),
        ("redis+sentinel://:Secret1@h:99999/shop", "hosts with their ports"),
        ("redis+sentinel://:Secret1@h:1,,g/shop", "hosts with their ports"),
        ("redis+sentinel://:Secret1@h:1/shop?db=1", "a part of the path"),
        ("redis+sentinel://:Secret1@h:1/shop?foo=1", "there is no parameter 'foo'"),
        ("redis+sentinel://:Sec/ret1@h:1/shop", "characters that end it"),
        ("redis+cluster://:Secret1@h:1/2", "one database"),
        ("redis+cluster://:Secret1@/", "hosts with their ports"),
        ("redis+cluster://:Secret1@h?sentinel_password=Secret1", "there is no parameter 'sentinel_password'"),
        ("redis+unix://:Secret1@h", "not the URL"),
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url: str, message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        RedisConnection(url)
    assert message in str(raised.value)
    assert "ecret1" not in f"{raised.value!s}{raised.value!r}"


def test_the_login_at_the_sentinels_is_not_shown() -> None:
    shown = hide_password("redis+sentinel://u:one@a:1,b:2/shop/0?sentinel_username=v&sentinel_password=two")
    assert shown.startswith("redis+sentinel://u:***@a:1,b:2/shop/0?")
    assert "one" not in shown
    assert "two" not in shown
