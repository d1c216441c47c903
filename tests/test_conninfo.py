"""The joint meaning of a URL, a service, the environment and a password file: as in libpq."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from plainsql.conninfo import Conninfo, libpq_options
from plainsql.errors import ConnectError

URL = "postgresql://u@h:5432/d"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without files of their own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def conninfo(url: str = "postgresql://", **environ: str) -> Conninfo:
    return Conninfo(url, environ)


def test_the_url_wins_over_the_service_and_that_over_the_environment(tmp_path: Path) -> None:
    (tmp_path / ".pg_service.conf").write_text(
        "# a comment\n[other]\nhost=o\n\n[shop]\nhost=service\nport=1\ndbname=d b \npassword=p=1\n"
        "[last]\nuser=x\n"
    )
    found = conninfo(
        "postgresql://url/?service=shop", PGHOST="e", PGPORT="2", PGUSER="eve", PGSSLMODE="disable"
    )
    assert (found["host"], found["dbname"], found["user"]) == ("url", "d b", "eve")
    assert found["sslmode"] == "disable"
    assert [address.password for address in found.addresses()] == ["p=1"]
    assert conninfo(PGSERVICE="shop")["host"] == "service"
    assert conninfo("postgresql:///?service=shop")["host"] == "service"


def test_the_file_of_services_may_be_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "services"
    file.write_text("[shop]\nhost=here\n")
    (tmp_path / "pg_service.conf").write_text("[system]\nhost=there\n")
    assert conninfo("postgresql:///?service=shop", PGSERVICEFILE=str(file))["host"] == "here"
    assert conninfo(f"postgresql:///?service=shop&servicefile={file}")["host"] == "here"
    environ = {"PGSERVICEFILE": str(file), "PGSYSCONFDIR": str(tmp_path)}
    assert conninfo("postgresql:///?service=system", **environ)["host"] == "there"


def test_a_service_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConnectError, match=r"there is no service 'shop'\nDETAIL: read: .*\.pg_service\.conf"):
        conninfo("postgresql:///?service=shop")


@pytest.mark.parametrize("line", ["s3cr3t", "s3cr3t=1", "service=s3cr3t"])
def test_a_service_that_cannot_be_read_is_told_by_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / ".pg_service.conf").write_text(f"[shop]\nhost=h\n{line}\n")
    with pytest.raises(ConnectError, match=r"\.pg_service\.conf:3: expected a parameter of libpq") as raised:
        conninfo("postgresql:///?service=shop")
    assert "s3cr3t" not in str(raised.value)


def write_passwords(file: Path, text: str, mode: int = 0o600) -> None:
    file.write_text(text, newline="")
    file.chmod(mode)


@pytest.mark.parametrize(
    ("line", "password"),
    [
        ("h:5432:d:u:simple", "simple"),
        ("*:*:*:*:any", "any"),
        (r"h:5432:d:u:a\:b\\c", "a:b\\c"),
        (r"h:5432:d:u:a:b", "a"),
        (r"h\:1:5432:d:u:no", ""),
        ("#h:5432:d:u:no", ""),
        ("h:5432:d:u", ""),
        ("h:1:d:u:no\r\n\r\n* not a line\r\nh:5432:d:u:second\r", "second"),
        ("h:5432:other:u:no\nh:5432:d:other:no\nother:*:*:*:no", ""),
    ],
)
def test_a_password_file_is_read_as_libpq_reads_it(home: Path, line: str, password: str) -> None:
    write_passwords(home / ".pgpass", line + "\n")
    assert [address.password for address in conninfo(URL).addresses()] == [password]


def test_a_password_file_may_be_elsewhere_and_loses_against_the_url(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    write_passwords(file, "*:*:*:*:from the file\n")

    def password(url: str, **environ: str) -> str:
        return conninfo(url, **environ).addresses()[0].password

    assert password(f"{URL}?passfile={file}") == "from the file"
    assert password(URL, PGPASSFILE=str(file)) == "from the file"
    assert password(f"{URL}?passfile={file}&password=mine") == "mine"
    assert password(f"{URL}?passfile={file}", PGPASSWORD="env") == "env"
    assert password(f"{URL}?passfile={tmp_path}") == ""
    assert password(f"{URL}?passfile={tmp_path / 'missing'}") == ""


def test_each_host_has_its_password(home: Path) -> None:
    write_passwords(
        home / ".pgpass", "a:5432:*:*:one\nb:1:*:*:two\n/sockets:*:*:*:three\nlocalhost:*:*:*:four\n"
    )
    urls = {"postgresql://u@a,b:1,c/d": ["one", "two", ""], "postgresql://u@/d?host=/sockets": ["three"]}
    for url, passwords in urls.items():
        assert [address.password for address in conninfo(url).addresses()] == passwords
    assert {address.password for address in conninfo("postgresql://u@/d").addresses()} == {"four"}


def test_a_password_file_that_others_may_read_is_not_used(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_passwords(home / ".pgpass", "*:*:*:*:p\n", 0o640)
    with caplog.at_level(logging.WARNING, "plainsql"):
        assert conninfo(URL).addresses()[0].password == ""
    assert "others may read it" in caplog.text


@pytest.mark.parametrize(
    ("url", "places"),
    [
        ("postgresql://h", [("h", 5432, "h")]),
        ("postgresql://h:1", [("h", 1, "h")]),
        ("postgresql://a:1,b,[::1]:3", [("a", 1, "a"), ("b", 5432, "b"), ("::1", 3, "::1")]),
        ("postgresql:///?host=a,b&port=7", [("a", 7, "a"), ("b", 7, "b")]),
        ("postgresql://%2Frun%2Fx:1", [("/run/x", 1, "/run/x")]),
        ("postgresql://h?hostaddr=10.0.0.1", [("10.0.0.1", 5432, "h")]),
        ("postgresql:///?hostaddr=10.0.0.1", [("10.0.0.1", 5432, "10.0.0.1")]),
        ("postgresql://a,b?hostaddr=,10.0.0.1", [("a", 5432, "a"), ("10.0.0.1", 5432, "b")]),
        ("host=a,b port=1,2", [("a", 1, "a"), ("b", 2, "b")]),
    ],
)
def test_hosts_and_ports_go_together(url: str, places: list[tuple[str, int, str]]) -> None:
    assert [address[:3] for address in conninfo(url).addresses()] == places


def test_without_a_host_sockets_are_tried_and_then_this_host() -> None:
    hosts = [address.host for address in conninfo().addresses()]
    assert hosts[0].startswith("/")
    assert hosts[-1] == "localhost"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "postgresql://a,b,c?port=1,2",
            "port: expected one, or one for each host, 3, got 2",
        ),
        ("postgresql://a,b?hostaddr=1", "the database URL: hostaddr: expected one for each host, 2, got 1"),
        ("postgresql://h?sslmode=no", "the database URL: sslmode: expected one of disable, allow,"),
        ("postgresql://h?target_session_attrs=x", "target_session_attrs: expected one of any, read-write"),
        ("postgresql://h?channel_binding=maybe", "channel_binding: expected one of disable, prefer, require"),
        ("postgresql://h?connect_timeout=soon", "connect_timeout: expected an integer, got 'soon'"),
        ("postgresql://h?tcp_user_timeout=1.5", "tcp_user_timeout: expected an integer, got '1.5'"),
        ("postgresql://h?password=x&keepalives=a", "keepalives: expected an integer\n"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_its_name(url: str, message: str) -> None:
    with pytest.raises(ConnectError) as raised:
        conninfo(url).addresses()
    assert message in str(raised.value)
    assert raised.value.hint


def test_a_variable_is_named_if_it_is_to_blame() -> None:
    with pytest.raises(ConnectError, match="the variable PGSSLMODE: sslmode: expected one of"):
        conninfo(PGSSLMODE="strict")


@pytest.mark.parametrize(
    ("query", "given", "seconds"),
    [
        ("", None, 10),
        ("connect_timeout=3", None, 3),
        ("connect_timeout=0", None, 10),
        ("connect_timeout=-1", None, 10),
        ("connect_timeout=3", 20, 20),
        ("connect_timeout=30", 0.2, 1),
    ],
)
def test_an_option_wins_over_the_url_and_the_url_over_the_default(
    query: str, given: float | None, seconds: int
) -> None:
    options = libpq_options(f"{URL}?{query}", application_name=None, connect_timeout=given)
    assert options["connect_timeout"] == seconds


@pytest.mark.parametrize(
    ("query", "given", "expected"),
    [
        ("", None, {"fallback_application_name": "plainsql"}),
        ("", "mine", {"application_name": "mine"}),
        ("application_name=url", None, {"application_name": "url"}),
        ("application_name=url", "mine", {"application_name": "mine"}),
        ("fallback_application_name=url", None, {"fallback_application_name": "url"}),
    ],
)
def test_the_application_is_named_by_the_option_then_by_the_url(
    query: str, given: str | None, expected: dict[str, Any]
) -> None:
    options = libpq_options(f"{URL}?{query}", application_name=given, connect_timeout=None)
    assert {name: value for name, value in options.items() if "application" in name} == expected
