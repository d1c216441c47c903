"""The key of a cached result holds the tenant, the role and the settings that may decide about it.

The cached reads are what the analysis derives, not what a test says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import asyncpg
import psycopg
import pytest

import plainsql
from plainsql.analysis import Analyser
from plainsql.analysis.effects.cache_dependencies import cached_read
from plainsql.cache import Cache
from plainsql.database.caching.cached_queries import CachedQueries
from plainsql.query import Args, many
from plainsql.statements.model import CachePolicy

_SCHEMA = """
create table plain (id integer primary key, tenant text not null, region text not null);
insert into plain values (1, 'a', 'eu'), (2, 'b', 'us'), (3, 'a', 'us');
create view mine with (security_barrier) as
  select p.id from plain as p where p.tenant = current_setting('app.jwt_tenant', true);
create function tenant_now() returns text language sql stable
  as $$ select current_setting('app.jwt_tenant', true) $$;
create function setting(name text) returns text language plpgsql stable
  as $$ begin return current_setting(name, true); end $$;
comment on function setting(text) is 'plainsql: reads nothing';
create table regional (id integer primary key, region text not null);
insert into regional values (1, 'eu'), (2, 'us');
alter table regional enable row level security;
create policy by_region on regional using (region = (select current_setting('app.region', true)));
"""
_BY_TENANT = "select p.id from plain as p where p.tenant = {} order by p.id"
_BY_REGION = "select p.id from plain as p where p.region = {} order by p.id"


@pytest.fixture
async def settings_url(fresh_database_url: str) -> str:
    """The URL of a database with tables whose policies read settings."""
    owner = await asyncpg.connect(fresh_database_url)
    await owner.execute(_SCHEMA)
    await owner.close()
    return fresh_database_url


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Closes what a test has opened."""
    async with AsyncExitStack() as stack:
        yield stack


def cached(url: str, sql: str) -> Any:
    """A cached read of the ids, as it is generated."""
    with psycopg.connect(url) as connection, Analyser(connection) as analyser:
        analysis = analyser.analyse(sql)
    assert not [finding for finding in analysis.caching if finding.name == "cache-unsteady"]
    read = cached_read(CachePolicy(60), [analysis])

    @many[int](
        "c.ids",
        "c.sql",
        1,
        sql,
        read_only=True,
        session_clean=True,
        cache=read,
        row_security=dict(analysis.settings),
    )
    def ids() -> Args:
        return ()

    return ids


async def stored(db: plainsql.Database | Any, query: Any) -> list[int]:
    """Read until the result comes from the cache."""
    while True:
        hits = db.cache.stats().hits
        found: list[int] = await query(db)
        if db.cache.stats().hits > hits:
            return found


@pytest.mark.parametrize(
    "sql",
    [
        _BY_TENANT.format("current_setting('app.jwt_tenant', true)"),
        _BY_TENANT.format("tenant_now()"),
        _BY_TENANT.format("setting('app.jwt_tenant')"),
        _BY_TENANT.format("current_setting('app.' || 'jwt_tenant', true)"),
        "select m.id from mine as m order by m.id",
        "select p.id from plain as p where exists (select from mine as m where m.id = p.id) order by p.id",
    ],
)
async def test_a_tenant_is_never_served_anothers_result(
    settings_url: str, stack: AsyncExitStack, sql: str
) -> None:
    query = cached(settings_url, sql)
    db = await stack.enter_async_context(plainsql.connect(settings_url))
    for _ in range(2):
        assert await stored(db.tenant("a"), query) == [1, 3]
        assert await stored(db.tenant("b"), query) == [2]
        assert await stored(db, query) == []


async def test_what_asks_for_no_setting_is_shared_by_all_tenants(
    settings_url: str, stack: AsyncExitStack
) -> None:
    query = cached(settings_url, "select p.id from plain as p order by p.id")
    db = await stack.enter_async_context(plainsql.connect(settings_url))
    assert await stored(db.tenant("a"), query) == [1, 2, 3]
    misses = db.cache.stats().misses
    assert await query(db.tenant("b")) == await query(db) == [1, 2, 3]
    assert db.cache.stats().misses == misses


def _with(url: str, parameter: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{parameter}"


def _by_options(url: str, region: str) -> dict[str, Any]:
    return {"url": _with(url, f"options={quote(f'-c app.region={region}')}")}


def _by_server_settings(url: str, region: str) -> dict[str, Any]:
    return {"url": url, "server_settings": {"app.region": region}}


@pytest.mark.parametrize(
    "sql",
    [
        _BY_REGION.format("current_setting('app.region', true)"),
        _BY_REGION.format("setting('app.region')"),
        "select r.id from regional as r order by r.id",
    ],
)
@pytest.mark.parametrize("given", [_by_options, _by_server_settings])
async def test_a_setting_of_a_program_is_part_of_the_key_however_it_is_given(
    settings_url: str, redis_url: str, stack: AsyncExitStack, role: str, given: Any, sql: str
) -> None:
    query = cached(settings_url, sql)
    found = {}
    for region in ("eu", "us"):
        options = given(settings_url, region)
        settings = {"role": role} | options.pop("server_settings", {})
        db = await stack.enter_async_context(
            plainsql.connect(**options, server_settings=settings, redis=redis_url)
        )
        found[region] = await stored(db, query)
    assert found == {"eu": [1], "us": [2] if "regional" in sql else [2, 3]}


async def test_a_setting_of_the_database_is_part_of_the_key(
    settings_url: str, redis_url: str, stack: AsyncExitStack
) -> None:
    query = cached(settings_url, _BY_REGION.format("setting('app.region')"))
    owner = await asyncpg.connect(settings_url)
    found = {}
    for region in ("eu", "us"):
        name = await owner.fetchval("select quote_ident(current_database())")
        await owner.execute(f"alter database {name} set app.region = '{region}'")
        db = await stack.enter_async_context(plainsql.connect(settings_url, redis=redis_url))
        found[region] = await stored(db, query)
    await owner.close()
    assert found == {"eu": [1], "us": [2, 3]}


async def test_a_setting_that_a_query_names_is_part_of_the_key(
    settings_url: str,
) -> None:
    """From the configuration of a server, or from what a pooler sets."""
    query = cached(settings_url, _BY_REGION.format("current_setting('app.region', true)"))
    keys = set()
    for region in ("eu", "us"):
        connection = await asyncpg.connect(settings_url)
        await connection.execute(f"set app.region = '{region}'")
        queries = CachedQueries(Cache(), shared=False)
        await queries.identify(connection, query.compiled)
        await connection.close()
        reading = queries.cached_query(query.compiled)
        assert reading is not None
        keys.add(reading.key((), ()))
    assert len(keys) == 2


async def test_a_setting_that_decides_nothing_does_not_keep_programs_apart(
    settings_url: str, redis_url: str, stack: AsyncExitStack
) -> None:
    query = cached(settings_url, "select p.id from plain as p order by p.id")
    one = await stack.enter_async_context(
        plainsql.connect(settings_url, redis=redis_url, server_settings={"statement_timeout": "30s"})
    )
    other = await stack.enter_async_context(
        plainsql.connect(_with(settings_url, "application_name=o"), redis=redis_url)
    )
    await stored(one, query)
    await query(other)
    assert (other.cache.stats().hits, other.cache.stats().misses) == (1, 0)


@pytest.fixture
async def role(settings_url: str) -> str:
    """A role that row-level security holds."""
    owner = await asyncpg.connect(settings_url)
    await owner.execute(
        """
        do $$ begin create role plainsql_test_cached login nosuperuser nobypassrls;
        exception when duplicate_object or unique_violation then null; end $$;
        grant select on all tables in schema public to plainsql_test_cached;
        """
    )
    await owner.close()
    return "plainsql_test_cached"
