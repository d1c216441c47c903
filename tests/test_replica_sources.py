"""Sources of replicas: what may be written, the URLs that come of it, and what is refused."""

from __future__ import annotations

import pytest

import plainsql
from plainsql.errors import ConnectError, OptionError
from plainsql.replica_sources import (
    HostsOfUrl,
    Member,
    Patroni,
    Primary,
    Source,
    Urls,
    configured_source,
    host_urls,
    is_host,
    member_url,
    read_source,
    standbys,
)
from plainsql.urls import hide_password

URL = "postgresql://app:s%40cret@a:5433,b,[::1]:5434/shop?target_session_attrs=read-write&sslmode=verify-full"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql://a/x  postgresql://b/x", Urls(("postgresql://a/x", "postgresql://b/x"))),
        ("postgresql://a/x postgresql://a/x", Urls(("postgresql://a/x",))),
        (["host=a dbname=x"], Urls(("host=a dbname=x",))),
        ("", Urls(())),
        ("hosts", HostsOfUrl()),
        (["primary"], Primary()),
        ("primary:5433", Primary("", 5433)),
        ("primary://{application_name}.db.net", Primary("{application_name}.db.net", None)),
        ("primary://{application_name}:6432", Primary("{application_name}", 6432)),
        ("patroni+http://a,b:80,[::1]:9,a:8008", Patroni((("a", 8008), ("b", 80), ("::1", 9)))),
        ("patroni+https://a/?sslrootcert=/c%20a", Patroni((("a", 8008),), True, (("sslrootcert", "/c a"),))),
    ],
)
def test_each_form_of_a_source_is_read(given: str | list[str], expected: Source) -> None:
    assert read_source(given, "replicas") == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("host", "got 'host'\nHINT: write hosts"),
        ("s3cret", "got another text"),
        ("hosts postgresql://a:s3cret@b/x", "got 2 items\nHINT: name the replicas"),
        ("patroni+http://a patroni+http://b", "name all addresses of Patroni in one URL"),
        ("postgresql://a/x mysql://u:s3cret@b/x", "got a URL that cannot be read as item 2"),
        ("postgresql://a/x,postgresql://u:s3cret@b/x", "HINT: spaces divide the URLs"),
        ("a,b", "HINT: spaces divide the URLs"),
        ("primary:0", "expected primary, primary:PORT"),
        ("primary:s3cret", "expected primary, primary:PORT"),
        ("primary://db.net", "with {application_name} in it"),
        ("primary://{application_name}/..", "with {application_name} in it"),
        ("primary://{application_name},b", "with {application_name} in it"),
        ("patroni://a", "or patroni+https://"),
        ("patroni+http://a/cluster", "nothing after them"),
        ("patroni+http://u:s3cret@a", "got a user before the hosts"),
        ("patroni+http://a,", "got a host or a port that is none"),
        ("patroni+http://a:70000", "got a host or a port that is none"),
        ("patroni+http://a?sslrootcert=s3cret", "patroni+http:// has none"),
        ("patroni+https://a?sslmode=s3cret", "has sslrootcert, sslcert, sslkey"),
    ],
)
def test_what_is_no_source_is_refused_without_its_text(given: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        plainsql.connect(replicas=given)
    assert str(caught.value).startswith("connect(): replicas: expected ")
    assert message in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_environment_names_the_variable_in_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_REPLICA_URLS", " primary:5433\n")
    assert configured_source() == Primary("", 5433)
    monkeypatch.setenv("DATABASE_REPLICA_URLS", "primry")
    with pytest.raises(OptionError, match=r"^DATABASE_REPLICA_URLS: expected .*got 'primry'"):
        configured_source()


def test_each_host_gets_a_url_with_the_login_and_the_tls_of_the_primary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = [
        f"postgresql://app:s%40cret@{place}/shop?sslmode=verify-full" for place in ("a:5433", "b:5432")
    ]
    assert host_urls(URL) == (*expected, "postgresql://app:s%40cret@[::1]:5434/shop?sslmode=verify-full")
    assert hide_password(host_urls(URL)[0]) == "postgresql://app:***@a:5433/shop?sslmode=verify-full"
    assert host_urls("host=/run/a,/run/b user=u port=1 target_session_attrs=primary") == (
        "postgresql://u@/?host=%2Frun%2Fa&port=1",
        "postgresql://u@/?host=%2Frun%2Fb&port=1",
    )
    assert host_urls("postgresql://a,b/x?hostaddr=10.0.0.1,10.0.0.2&target_session_attrs=primary") == (
        "postgresql://a:5432/x?hostaddr=10.0.0.1",
        "postgresql://b:5432/x?hostaddr=10.0.0.2",
    )
    assert host_urls("postgresql://a/x") == host_urls("postgresql:///x") == ()
    with pytest.raises(ConnectError, match="expected target_session_attrs=read-write or primary"):
        host_urls("postgresql://a,b/x")
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "read-write")
    assert host_urls("postgresql://a,b/x")[0] == "postgresql://a:5432/x?target_session_attrs=any"


def test_a_member_gets_the_parameters_of_the_primary(monkeypatch: pytest.MonkeyPatch) -> None:
    url = member_url(f"{URL}&hostaddr=1.1.1.1,1.1.1.2,1.1.1.3&load_balance_hosts=random", Member("::2", 7))
    assert url == "postgresql://app:s%40cret@[::2]:7/shop?sslmode=verify-full"
    monkeypatch.setenv("PGHOSTADDR", "10.0.0.1")
    with pytest.raises(ConnectError, match=r"PGHOSTADDR: hostaddr: the servers that are found"):
        member_url("postgresql://app@a/shop", Member("b", 5432))


def test_a_standby_is_where_its_address_or_its_name_says() -> None:
    rows = [
        (True, "10.0.0.2", "b", 5433),
        (True, "10.0.0.2", "c", 5433),  # behind the same address
        (True, None, "d", 5433),  # on a Unix socket
        (True, "10.0.0.3", "evil.net/x", 5433),
    ]
    assert standbys(Primary(), rows) == [Member("10.0.0.2", 5433), Member("10.0.0.3", 5433)]
    named = standbys(Primary("{application_name}.db.net", 6432), rows)
    assert named == [Member(f"{name}.db.net", 6432) for name in "bcd"], "a name is one label"
    assert standbys(Primary(), [(True, None, None, 5432)]) == [], "no standby"
    with pytest.raises(ConnectError, match="does not show its standbys"):
        standbys(Primary(), [(False, None, None, 5432)])
    with pytest.raises(ConnectError, match="expected 64 replicas at most, found 65"):
        standbys(Primary(), [(True, f"10.0.0.{number}", "", 5432) for number in range(65)])


@pytest.mark.parametrize(
    "text", ["", "a,b", "a b", "/tmp", "@a", "a:1", "fe80::1%eth0", "a" * 300, "-a", "ü"]
)
def test_a_text_that_is_not_one_host_is_none(text: str) -> None:
    assert not is_host(text)
