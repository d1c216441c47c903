"""The cache never makes a read fail: not where PostgreSQL does not say whose results these are, nor ever."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

import plainsql
from plainsql.dependencies import CachedRead, Dependency
from plainsql.query import Args, one
from tests.database.ask import cached_queries

_ROLE = "cache_reader"
_ASKED = [
    "pg_control_system()",
    "pg_control_checkpoint()",
    "pg_postmaster_start_time()",
    "pg_is_in_recovery()",
    "current_setting(text, boolean)",
    "current_schemas(boolean)",
]
_HARMLESS = {"pg_control_system()", "pg_control_checkpoint()"}


def query(**policy: Any) -> Any:
    cache = CachedRead(300, (Dependency("public.t"),), **policy)

    @one[int]("r.n", "r.sql", 1, "select n from t", read_only=True, session_clean=True, cache=cache)
    def n() -> Args:
        return ()

    return n


@pytest.fixture
async def plain_role_url(fresh_database_url: str) -> str:
    """The URL of a plain role."""
    owner = await asyncpg.connect(fresh_database_url)
    if not await owner.fetchval("select exists (select from pg_roles where rolname = $1)", _ROLE):
        # Another worker may have just done so.
        with suppress(asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
            await owner.execute(f"create role {_ROLE} login")
    await owner.execute(f"create table t (n integer); insert into t values (1); grant select on t to {_ROLE}")
    await owner.close()
    return fresh_database_url.replace(f"//{urlsplit(fresh_database_url).username}", f"//{_ROLE}", 1)


@pytest.mark.parametrize("revoked", _ASKED)
@pytest.mark.parametrize("settings", [(), ("app.region",)])
async def test_a_role_that_may_not_ask_reads_all_the_same(
    fresh_database_url: str,
    plain_role_url: str,
    revoked: str,
    settings: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner = await asyncpg.connect(fresh_database_url)
    await owner.execute(f"revoke execute on function {revoked} from public")
    n = query(settings=settings)
    async with plainsql.connect(plain_role_url, min_size=2) as db:
        assert [await n(db) for _ in range(5)] == [1] * 5
        await owner.execute("update t set n = 2")
        await db.cache.invalidate("public.t")
        assert [await n(db) for _ in range(5)] == [2] * 5
        stats = db.cache.stats()
        if revoked in _HARMLESS:
            assert stats.hits > 0
        else:
            assert (stats.hits, stats.fills, stats.bypassed) == (0, 0, 10)
    warnings = [each for each in caplog.records if each.name == "plainsql.cache"]
    assert len(warnings) == (0 if revoked in _HARMLESS else 1), "once, and not for each read"
    assert all(each.levelno == logging.WARNING for each in warnings)
    await owner.close()


@pytest.mark.parametrize("catalogue", ["pg_db_role_setting", "pg_settings", "pg_database", "pg_roles"])
async def test_nor_does_a_hidden_catalogue(
    fresh_database_url: str, plain_role_url: str, catalogue: str
) -> None:
    owner = await asyncpg.connect(fresh_database_url)
    await owner.execute(f"revoke select on pg_catalog.{catalogue} from public")
    n = query()
    async with plainsql.connect(plain_role_url) as db:
        assert [await n(db) for _ in range(5)] == [1] * 5
        assert db.cache.stats().hits == 0
        assert db.cache.stats().errors == 1, "it is asked again after a while, not at each read"
    await owner.close()


async def test_it_asks_again_when_it_may(fresh_database_url: str, plain_role_url: str) -> None:
    owner = await asyncpg.connect(fresh_database_url)
    await owner.execute("revoke select on pg_catalog.pg_db_role_setting from public")
    n = query()
    async with plainsql.connect(plain_role_url) as db:
        assert await n(db) == 1
        await owner.execute("grant select on pg_catalog.pg_db_role_setting to public")
        queries = cached_queries(db)
        queries._identify_at = 0.0  # the pause is over
        assert [await n(db) for _ in range(3)] == [1] * 3
        assert db.cache.stats().hits > 0
    await owner.close()


class Odd(int):
    """An argument whose class raises for every attribute."""

    def __int__(self) -> int:
        raise RuntimeError("not now")

    __index__ = __int__


async def test_an_argument_that_cannot_be_a_key_is_postgresqls_to_judge(plain_role_url: str) -> None:
    cache = CachedRead(300, (Dependency("public.t", "n", "n"),))

    @one[int](
        "r.by",
        "r.sql",
        1,
        "select count(*) from t where n::text = :n::text",
        read_only=True,
        session_clean=True,
        cache=cache,
    )
    def by(*, n: Any) -> Args:
        return (n,)

    async with plainsql.connect(plain_role_url) as db:
        for value in ("1", "\u0661", "1" * 10_000, "0x1"):
            assert await by(db, n=value) == int(value == "1")
        for odd in ("\ud800", Odd(1), object(), [object()], 10**5000):
            with pytest.raises(plainsql.PlainsqlError):
                await by(db, n=odd)
