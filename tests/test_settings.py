"""The place of the database, and the part of it that may be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import plainsql.sync
from plainsql.errors import ConnectError, SettingsError
from plainsql.settings import Project, database_url, hide_password, redis_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:sekret@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:sek@ret@host/db", "postgresql://u:***@host/db"),
        # Unescaped, these are no URLs; drivers read each of them in another way.
        ("postgresql://u:sek/ret@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:sek?ret@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:sek#ret@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:s@ek/r?e#t@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:sek[ret@host/db", "postgresql://u:***@host/db"),
        # The @ may belong to a password or end one: there is no way to know.
        ("postgresql://h/db?password=sek@ret", "postgresql://***"),
        ("postgresql://u:sek?r=e@host/db", "postgresql://***"),
        ("postgresql://u:sekret/db", "postgresql://***"),
        ("postgresql:///db?password=sek&ret=1&host=h", "postgresql:///db?password=***&***&host=h"),
        ("postgresql://u@host/db?options=-c%20app.key%3Dsekret", "postgresql://u@host/db?options=***"),
        ("postgresql://u@host/db#sekret", "postgresql://u@host/db#***"),
        ("postgresql+asyncpg://u:sekret@host/db", "postgresql+asyncpg://u:***@host/db"),
        ("postgresql:///db?password=sekret&host=%2Ftmp", "postgresql:///db?password=***&host=%2Ftmp"),
        ("postgresql:///db?pass%77ord=sekret", "postgresql:///db?pass%77ord=***"),
        (
            "postgresql:///db?sslpassword=sekret&sslmode=require",
            "postgresql:///db?sslpassword=***&sslmode=require",
        ),
        ("postgresql:///db?oauth_client_secret=sekret", "postgresql:///db?oauth_client_secret=***"),
        ("postgresql://u:sekret@one:1,two:2/db", "postgresql://u:***@one:1,two:2/db"),
        ("postgresql://u:sekret@[::1]:5432/db", "postgresql://u:***@[::1]:5432/db"),
        ("redis://:sekret@host/0", "redis://:***@host/0"),
        ("postgresql://u@host/db", "postgresql://u@host/db"),
        ("redis://sekret@host/0", "redis://***@host/0"),
        ("host=/tmp password=sekret", "postgresql://:***@/?host=%2Ftmp"),
        ("host=h,::1 port=1 user=u dbname=d password=sekret", "postgresql://u:***@h:1,[::1]:1/d"),
        ("host=h password='sekret", "***"),
        ("u:sekret@host/db", "***"),
        ("postgresql:u:sekret@host/db", "***"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert hide_password(url) == shown
    assert hide_password(shown) == shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:sekret/sekret@127.0.0.1:1/db",
        "postgresql://u:sekret?sekret@127.0.0.1:1/db",
        "postgresql://u:sekret#sekret@127.0.0.1:1/db",
        "postgresql://u:sek%zzret@127.0.0.1:1/db",
        "postgresql://127.0.0.1:1/db?secrte=sekret",
        "host=127.0.0.1 port=1 password=sekret",
        "host=127.0.0.1 port=1 password='sekret",
    ],
)
async def test_no_error_of_a_connection_shows_the_password(url: str) -> None:
    from plainsql.analysis.scratch_database import connect

    async def by_asyncpg() -> None:
        async with plainsql.connect(url, connect_timeout=5):
            pass

    def by_psycopg() -> Any:
        return plainsql.sync.connect(url, connect_timeout=5)

    with pytest.raises(ConnectError) as first:
        await by_asyncpg()
    with pytest.raises(ConnectError) as second:
        by_psycopg()
    with pytest.raises(ConnectError) as third:
        connect(url)
    for raised in (first, second, third):
        assert "sek" not in str(raised.value)


def test_the_first_that_is_found_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.plainsql]\ndatabase = "d"\nredis = "r"\n')
    monkeypatch.chdir(tmp_path)
    parts = {"DB_HOST": "h", "DB_PORT": "1", "DB_NAME": "n", "DB_USER": "u", "DB_PASSWORD": "p/@:"}
    assert database_url("a", environ={"DATABASE_URL": "b", **parts}) == "a"
    assert database_url(environ={"DATABASE_URL": "b", **parts}) == "b"
    assert database_url(environ=parts) == "postgresql://u:p%2F%40%3A@h:1/n"
    assert database_url(environ={}) == "d"
    assert redis_url(environ={"REDIS_HOST": "h", "REDIS_PASSWORD": "p"}) == "redis://:p@h:6379/0"
    assert redis_url(environ={}) == "r"


def test_a_host_may_be_an_address_or_a_folder() -> None:
    assert database_url(environ={"DB_HOST": "::1"}) == "postgresql://[::1]:5432/postgres"
    assert database_url(environ={"DB_HOST": "/tmp"}) == "postgresql:///postgres?host=%2Ftmp&port=5432"


def test_a_port_is_a_number() -> None:
    with pytest.raises(SettingsError, match="DB_PORT: expected a number, got 'x'"):
        database_url(environ={"DB_HOST": "h", "DB_PORT": "x"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.plainsql\n", "cannot be read: "),
        ("[tool]\nplainsql = 5\n", "tool.plainsql: expected a table, got int"),
        ("[tool.plainsql]\nsqll = 'x'\n", "unknown key 'sqll' in [tool.plainsql]"),
        ("[tool.plainsql]\nsql = 5\n", "sql in [tool.plainsql]: expected a string, got a number"),
    ],
)
def test_settings_that_cannot_be_read_are_said_with_their_file(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(SettingsError) as raised:
        Project.load(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path / 'pyproject.toml'}: {message}")


@pytest.mark.parametrize(
    ("text", "application"),
    [
        ("", ""),
        ("tool = 5\n", ""),
        ("[project]\nname = 'x'\n", "x"),
        ("[tool.poetry]\nname = 'y'\n", "y"),
        ("[project]\nname = 5\n", ""),
    ],
)
def test_a_project_without_settings_has_the_defaults(tmp_path: Path, text: str, application: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    (tmp_path / "deep").mkdir()
    assert Project.load(tmp_path / "deep") == Project(root=tmp_path, application=application)
