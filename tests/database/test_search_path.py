"""The search path of connections: by setting, variable and option, on both drivers, behind poolers too."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

import plainsql
import plainsql.sync
from plainsql.embedded import EmbeddedServer
from plainsql.errors import OptionError
from plainsql.query import Args, one
from tests.pgbouncer import PoolMode, pgbouncer, url_through


@one[str]("t.here", "t.sql", 1, "select place from here", read_only=True, session_clean=True)
def here() -> Args:
    return ()


@one[str]("t.leave", "t.sql", 1, "select set_config('search_path', 'public', false)")
def leave() -> Args:
    return ()


@pytest.fixture(scope="module")
def places_url(database_url: str) -> str:
    """A database with the same table in three schemas; each says which it is."""
    with psycopg.connect(database_url) as connection:
        for schema in ("shop", "other", "public"):
            connection.execute(f"create schema if not exists {schema}".encode())
            connection.execute(f"create table {schema}.here (place text)".encode())
            connection.execute(f"insert into {schema}.here values ('{schema}')".encode())
    return database_url


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a search path, which is the working folder."""
    monkeypatch.delenv("PLAINSQL_SEARCH_PATH", raising=False)
    (tmp_path / "pyproject.toml").write_text('[tool.plainsql]\nsearch_path = "shop, public"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module", params=["transaction", "session"])
def mode(request: pytest.FixtureRequest) -> PoolMode:
    mode: PoolMode = request.param
    return mode


@pytest.fixture(scope="module")
def pooled_url(server: EmbeddedServer, mode: PoolMode, places_url: str) -> Generator[str]:
    with pgbouncer(server, mode, size=3) as folder:
        yield url_through(folder, urlsplit(places_url).path.lstrip("/"))


async def read(url: str, **options: str) -> str:
    async with plainsql.connect(url, **options) as db:  # type: ignore[arg-type]
        return await here(db)


def read_sync(url: str, **options: str) -> str:
    with plainsql.sync.connect(url, **options) as db:  # type: ignore[arg-type]
        return here(db)


async def test_the_first_that_is_given_wins(
    places_url: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await read(places_url), read_sync(places_url)) == ("shop", "shop")
    monkeypatch.setenv("PLAINSQL_SEARCH_PATH", "other")
    assert (await read(places_url), read_sync(places_url)) == ("other", "other")
    url = f"{places_url}&options=-c%20search_path%3Dpublic"
    assert (await read(url), read_sync(url)) == ("public", "public")
    assert await read(url, search_path="shop") == read_sync(url, search_path="shop") == "shop"
    async with plainsql.connect(places_url, server_settings={"search_path": "shop"}) as db:
        assert await here(db) == "shop"


async def test_without_one_it_is_the_servers(
    places_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLAINSQL_SEARCH_PATH", raising=False)
    monkeypatch.chdir(tmp_path)
    assert (await read(places_url), read_sync(places_url)) == ("public", "public")


async def test_what_a_session_leaves_is_reset(places_url: str, project: Path) -> None:
    async with plainsql.connect(places_url, max_size=1) as db:
        async with db.acquire() as connection:
            await connection.execute("set search_path = public")
        assert await here(db) == "shop"
        await leave(db)
        assert await here(db) == "shop"
        async with db.transaction() as tx:
            assert await here(tx) == "shop"


async def test_behind_a_pooler_it_is_set_too(pooled_url: str, mode: PoolMode, project: Path) -> None:
    async with plainsql.connect(pooled_url, pooler=mode, max_size=2) as db:
        assert await here(db) == "shop"
        await leave(db)
        assert await here(db) == "shop"
        async with db.transaction() as tx:
            assert await here(tx) == "shop"
        assert await here(db.tenant("a")) == "shop"
    with plainsql.sync.connect(pooled_url, pooler=mode) as db:
        assert here(db) == "shop"
        with db.transaction() as tx:
            assert here(tx) == "shop"


async def test_behind_a_pooler_that_is_found_out_it_is_set_too(pooled_url: str, project: Path) -> None:
    assert (await read(pooled_url), read_sync(pooled_url)) == ("shop", "shop")
    # The next client of the same connections has its own.
    assert await read(pooled_url, search_path="other") == "other"
    assert await read(pooled_url, search_path="public") == "public"


async def test_a_path_that_is_none_is_refused(places_url: str) -> None:
    with pytest.raises(OptionError, match=r"^connect\(\): search_path: expected names of schemas"):
        await read(places_url, search_path="a b")
    with pytest.raises(OptionError, match=r"^sync\.connect\(\): search_path: expected names of schemas"):
        read_sync(places_url, search_path="a;")
    with pytest.raises(OptionError, match="expected it once, got it in server_settings as well"):
        await plainsql.connect(places_url, search_path="a", server_settings={"search_path": "b"})
