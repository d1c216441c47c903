"""URLs are read as libpq reads them, and no text shows a part of a password."""

from __future__ import annotations

import string
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

import plainsql
from plainsql.conninfo import Conninfo
from plainsql.errors import ConnectError
from plainsql.settings import hide_password
from plainsql.urls import PARAMETERS, _authority, plain_url, read_url, write_url
from tests.database.ask import all_text


def is_ambiguous(url: str) -> bool:
    """Report whether drivers differ on the end of a URL's password: an unescaped ``@`` after a slash."""
    _, _, rest = url.partition("://")
    authority = _authority(rest)
    return bool(authority) and "@" in rest[len(authority) :]


def by_libpq(url: str) -> dict[str, str]:
    return {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgres://host",
        "postgresql:///db",
        "postgresql://u:p@host:5432/db",
        "postgresql://u:p%40%2F%3A%25@host/d%20b",
        "postgresql://:p@host/db",
        "postgresql://u:@host/db",
        "postgresql://u:p?x@host/db",
        "postgresql://u:p#x@host/db",
        "postgresql://[::1]:5433,[fe80::1%25eth0],h3:5/db",
        "postgresql://h1:1,h2,h3:3/db",
        "postgresql://u@/db?host=/run/postgresql&port=1",
        "postgresql://u@%2Frun%2Fpostgresql/db",
        "postgresql://host/db?application_name=a+b%20c",
        "postgresql://host/db?ssl=true",
        "postgresql:///db?user=me@example.com&password=a@b",
        "postgresql://host/db?user=me@example.com",
        "postgresql://host/db?sslmode=&options=",
        "postgresql://host/db#1?connect_timeout=1",
        "host=a port=1 password='a b' dbname = c",
        "host='' password=a\\ b\\'c user='x\\'y\\\\z'",
        "password=it's",
        "  host=a  ",
    ],
)
def test_a_url_is_read_as_libpq_reads_it(url: str) -> None:
    assert read_url(url) == by_libpq(url)


TEXT = st.text(st.sampled_from(string.printable.replace("\x0b", "").replace("\x0c", "") + "ñ表"), max_size=8)


@settings(deadline=None)
@given(
    user=TEXT, password=TEXT, host=st.from_regex(r"[a-z0-9.]{0,5}", fullmatch=True), database=TEXT, rest=TEXT
)
def test_what_is_escaped_comes_back(user: str, password: str, host: str, database: str, rest: str) -> None:
    given_ = {"user": user, "password": password, "host": host, "dbname": database, "options": rest}
    url = (
        f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{host}/{quote(database, safe='')}"
        f"?options={quote(rest, safe='')}"
    )
    expected = {name: value for name, value in given_.items() if value or name == "options"}
    assert read_url(url) == expected
    assert read_url(plain_url(url)) == expected
    assert read_url(write_url(given_)) == given_


PIECES = st.sampled_from(
    [*"/?#@:[],&=%+ '\\\"", "%40", "%zz", "u", "p", "h", "1", "db", "host=", "sslmode=", "postgresql", "//"]
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_whatever_is_read_at_all_is_read_as_libpq_reads_it(rest: str) -> None:
    for url in (f"postgresql://{rest}", f"host=a {rest}"):
        try:
            read = read_url(url)
        except ConnectError as error:
            assert error.hint  # noqa: PT017
            continue
        # libpq wants a second = escaped, which `plain_url` does, and looks at ports when it connects.
        assert read == by_libpq(plain_url(url))


@pytest.mark.parametrize(
    "scheme", ["postgres", "postgresql+asyncpg", "postgresql+psycopg", "postgres+psycopg2"]
)
def test_urls_of_other_libraries_are_read(scheme: str) -> None:
    assert read_url(f"{scheme}://u@h/db") == {"user": "u", "host": "h", "dbname": "db"}
    assert plain_url(f"{scheme}://u@h/db?ssl=require") == "postgresql://u@h/db?sslmode=require"
    assert read_url(f"{scheme}://u@h/db?ssl=verify-full")["sslmode"] == "verify-full"


@pytest.mark.parametrize(
    ("query", "mode"),
    [
        ("requiressl=1", "require"),
        ("requiressl=0", None),
        ("requiressl=1&sslmode=verify-full", "verify-full"),
        ("ssl=false", "disable"),
    ],
)
def test_former_names_of_tls_are_translated(query: str, mode: str | None) -> None:
    url = f"postgresql://h/db?{query}"
    assert read_url(url).get("sslmode") == mode
    assert by_libpq(plain_url(url)).get("sslmode") == mode


def test_a_url_of_libpq_alone_stays_as_it_is() -> None:
    for url in ("postgresql://u:p@h:1/db?sslmode=require", "host=a password=b", "mysql://x", "nonsense"):
        assert plain_url(url) == url


def test_all_parameters_of_libpq_are_known() -> None:
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    assert known <= PARAMETERS


@pytest.mark.parametrize(
    ("url", "message", "hint"),
    [
        ("postgresql://h/db?sslmod=require", "unknown parameter sslmod", "write sslmode"),
        ("postgresql://h/db?database=x", "unknown parameter database", "write dbname"),
        ("postgresql://h/db?search_path=x", "unknown parameter search_path", "options=-c%20name%3Dvalue"),
        ("host=h hots=x", "unknown parameter hots", "write host"),
        ("postgresql://h/db?password=a&b=c", "a parameter that libpq does not know", "%26"),
        ("mysql://u:p@h/db", "expected postgresql://, got mysql://", "postgresql://user:password@"),
        ("postgresql:u:p@h/db", "cannot be read", "postgresql://user:password@"),
        ("", "cannot be read", "postgresql://user:password@"),
    ],
)
def test_what_cannot_be_read_is_named_if_it_can_be(url: str, message: str, hint: str) -> None:
    with pytest.raises(ConnectError) as raised:
        read_url(url)
    assert message in raised.value.message
    assert hint in (raised.value.hint or "")


# -- Passwords --------------------------------------------------------------------------------------------

# Words that occur in no text of ours, joined by all characters that may end a password for some reader.
WORDS = ("sekrit", "hushhush", "qwzx7", "9876123")
PASSWORDS = st.lists(
    st.tuples(st.sampled_from(string.punctuation + " \t\n\\%+é\u202e"), st.sampled_from(WORDS)), max_size=4
).map(lambda parts: "sekrit" + "".join(mark + word for mark, word in parts))


def urls_with(password: str) -> list[str]:
    escaped = quote(password, safe="")
    quoted = password.replace("\\", "\\\\").replace("'", "\\'")
    return [
        form.replace("{}", one)
        for form in (
            "postgresql://u:{}@127.0.0.1:1/db",
            "postgresql://u:{}@127.0.0.1/db?port=1",
            "postgresql://:{}@127.0.0.1:1/db?sslmode=require&options=-c%20x.y%3D{}",
            "postgresql://127.0.0.1:1/db?password={}",
            "postgresql:///db?host=127.0.0.1&port=1&password={}&sslmode=disable",
            "postgresql://u@127.0.0.1:1/db?sslpassword={}",
            "postgresql://u@127.0.0.1:1/db?scram_client_key={}",
            "postgresql+asyncpg://u:{}@127.0.0.1:1",
            "mysql://u:{}@127.0.0.1:1/db",
            "u:{}@127.0.0.1:1/db",
        )
        for one in (password, escaped)
    ] + [
        f"host=127.0.0.1 port=1 password={password}",
        f"host=127.0.0.1 port=1 password='{quoted}'",
        f"password='{quoted}' host=127.0.0.1 port=1 sslmode=disable",
    ]


def assert_hidden(text: str) -> None:
    for word in WORDS:
        assert word not in text.lower()


@settings(deadline=None)
@given(PASSWORDS)
def test_no_url_is_shown_with_a_part_of_its_password(password: str) -> None:
    for url in urls_with(password):
        shown = hide_password(url)
        assert_hidden(shown)
        assert hide_password(shown) == shown
        try:
            Conninfo(url, {"PGUSER": "u"}).addresses()
        except ConnectError as error:
            assert_hidden(all_text(error))


@settings(deadline=None)
@given(PASSWORDS)
def test_no_redis_url_is_shown_with_a_part_of_its_password(password: str) -> None:
    for scheme in ("redis", "rediss"):
        for one in (password, quote(password, safe="")):
            for url in (f"{scheme}://:{one}@h:6379/0", f"{scheme}://u:{one}@h", *bare(scheme, one)):
                assert_hidden(hide_password(url))
                assert is_ambiguous(url) or "@" not in url.partition("@")[2].partition("/")[2]


def bare(scheme: str, password: str) -> list[str]:
    # The text before a colon is the user.
    return [] if ":" in password else [f"{scheme}://{password}@h"]


@settings(deadline=None, max_examples=20)
@given(PASSWORDS)
def test_no_error_of_connecting_shows_a_part_of_a_password(password: str) -> None:
    for url in urls_with(password):
        for connect in (_over_asyncpg, _over_psycopg):
            with pytest.raises((ConnectError, plainsql.SettingsError)) as raised:
                connect(url)
            assert_hidden(all_text(raised.value))


def _over_asyncpg(url: str) -> None:
    import asyncio

    async def connect() -> None:
        await plainsql.connect(url)

    asyncio.run(connect())


def _over_psycopg(url: str) -> Any:
    return plainsql.sync.connect(url)
