"""``db.cache``: the cache of a database by hand."""

from __future__ import annotations

from typing import Any, ParamSpec

from plainsql.cache.stats import Stats
from plainsql.database.caching.cached import Cached
from plainsql.database.caching.cached_queries import CachedQueries
from plainsql.database.caching.outbox_consumer import drain_all
from plainsql.database.pool.tenant_pool import TenantPool
from plainsql.deprecation import warn_of_old_name
from plainsql.errors import BindError
from plainsql.query import Query

__all__ = ["CacheHandle"]

P = ParamSpec("P")

_KIND_SQL = """
select c.relkind::text
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname || '.' || c.relname = $1 and c.relkind in ('r', 'p', 'f', 'm', 'v')
"""


class CacheHandle:
    """``db.cache``: the cache of a database, or of a tenant's view of it, by hand.

    Without a cache (``connect(cache=False)``) its methods do nothing.
    """

    def __init__(
        self,
        cached: Cached | None,
        pool: TenantPool,
    ) -> None:
        self._cached = cached
        self._queries = None if cached is None else cached.queries
        self._cache = None if cached is None else cached.queries.cache
        self._pool = pool

    async def forget(self, query: Query[P, Any, Any], *args: P.args, **parameters: P.kwargs) -> None:
        """Drop the stored result of one call; for a tenant's call, use ``db.tenant(…).cache``.

        Raises ``RedisUnavailableError`` if Redis does not answer.
        """
        compiled = query.compiled
        values = compiled.bind(args, parameters)
        if self._cached is None or compiled.cache is None:
            return
        cached_query = await self._cached.cached_query(compiled)
        if cached_query is not None:
            scope = (self._pool.tenant,) if compiled.cache.scoped else ()
            await self._cached.queries.cache.forget(cached_query, values, scope)

    async def clear(self, prefix: str = "") -> int:
        """Drop the stored results of all queries under a name, such as ``"realty"``, or of all, in one step.

        Return how many queries of that name this process has read through the cache; other processes may have
        read more. Raises ``BindError`` if the name cannot be a query's, ``RedisUnavailableError`` if Redis
        does not answer.
        """
        if prefix != "" and not _is_dotted(prefix):
            raise BindError(
                f"clear(): expected the name of a query or of a folder of queries, got {_shown(prefix)}",
                hint="write it as check shows it, such as realty.messages.recent or realty",
            )
        if self._queries is None or self._cache is None:
            return 0
        await self._cache.clear(prefix)
        return self._queries.named(prefix)

    async def invalidate(self, table: str, **known: object) -> int:
        """Invalidate what depends on a table, after a committed write that plainsql did not make:
        ``invalidate("realty.messages", conversation_id=id)``.

        ``table`` with its schema. ``known`` are columns in which every changed row has one of these values,
        before and after: a value, or a list of values. Without them, the whole table.

        Return how many queries that this process has read through the cache depend on the table; those of
        other processes are invalidated as well. Raises ``BindError`` if the database has no such table, which
        is looked up once for each table.
        """
        if not _is_qualified(table):
            raise BindError(
                f"invalidate(): expected a table with its schema, got {_shown(table)}",
                hint="write it as in realty.messages, or public.messages",
            )
        if self._queries is None or self._cache is None:
            return 0
        depending = self._queries.depending(table)
        if not depending and table not in self._queries.tables:
            await self._look_for(self._queries, table)
        await self._cache.invalidate(table, **known)
        return depending

    async def _look_for(self, cached_queries: CachedQueries, table: str) -> None:
        try:
            async with self._pool.in_transaction() as connection:
                kind = await connection.fetchval(_KIND_SQL, table)
        except Exception:  # noqa: BLE001 (a table that cannot be looked up does not hinder the call)
            return
        if kind is None:
            raise BindError(
                f"invalidate(): there is no table {_shown(table)} in this database",
                hint="write its schema and its name as the database has them",
            )
        if kind == "v":
            raise BindError(
                f"invalidate(): {_shown(table)} is a view",
                hint="invalidate the tables that it reads, one by one",
            )
        cached_queries.tables.add(table)

    async def touch(self, table: str, **known: object) -> int:
        """Invalidate what depends on a table, by the former name of ``invalidate``."""
        warn_of_old_name("db.cache.touch", "db.cache.invalidate")
        return await self.invalidate(table, **known)

    async def drain(self) -> int:
        """Invalidate what the triggers of ``plainsql cache triggers`` have recorded, all that is committed by
        now. Return the number of records.

        ``connect(cache_outbox=True)`` does so all the time. Raises ``CacheError`` if Redis does not answer;
        then the records stay.
        """
        return 0 if self._cache is None else await drain_all(self._cache, self._pool.in_transaction)

    def stats(self) -> Stats:
        """Return the counters of the cache in this process."""
        return Stats() if self._cache is None else self._cache.stats()


def _is_dotted(name: object) -> bool:
    return isinstance(name, str) and all(part.isidentifier() for part in name.split("."))


def _is_qualified(table: object) -> bool:
    return isinstance(table, str) and all(table.partition("."))


def _shown(name: object) -> str:
    return repr(name[:80]) if isinstance(name, str) else type(name).__name__
