"""``db.cache``: the cache of a database by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from plainsql.cache import Reading
from plainsql.cache.stats import Stats
from plainsql.database.draining import Acquire, drain_all
from plainsql.database.through import Through
from plainsql.deprecation import warn_of_old_name
from plainsql.errors import BindError
from plainsql.query import CompiledQuery, Query

__all__ = ["CacheOf"]

_KIND = """
select c.relkind::text
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname || '.' || c.relname = $1 and c.relkind in ('r', 'p', 'f', 'm', 'v')
"""


class CacheOf:
    """``db.cache``: the cache of a database, or of a tenant's view of it, by hand.

    Where there is no cache (``connect(cache=False)``), there is nothing to do, and nothing is done.
    """

    def __init__(
        self,
        through: Through | None,
        scope: tuple[object, ...],
        reading: Callable[[CompiledQuery[Any, Any]], Awaitable[Reading[Any] | None]],
        in_transaction: Acquire,
    ) -> None:
        self._through = through
        self._cache = None if through is None else through.cache
        self._scope = scope
        self._reading = reading
        self._in_transaction = in_transaction

    async def forget(self, query: Query[..., Any, Any], **parameters: object) -> None:
        """Drop the stored result of one call. Of a tenant's, on ``db.tenant(…).cache``.

        Raises ``RedisUnavailableError`` where Redis does not answer.
        """
        compiled = query.compiled
        args = compiled.bind((), parameters)
        policy = compiled.cache
        reading = None if self._cache is None or policy is None else await self._reading(compiled)
        if self._cache is not None and reading is not None:
            await self._cache.forget(
                reading, args, self._scope if policy is not None and policy.scoped else ()
            )

    async def clear(self, prefix: str = "") -> int:
        """Drop the stored results of all queries under a name, such as ``"realty"``, or of all, in one step.

        Return how many queries of that name this process has read through the cache: other processes may
        have read more. Raises ``BindError`` for what can be no name of a query, and
        ``RedisUnavailableError`` where Redis does not answer.
        """
        if prefix != "" and not _is_dotted(prefix):
            raise BindError(
                f"clear(): expected the name of a query or of a folder of queries, got {_shown(prefix)}",
                hint="write it as check shows it, such as realty.messages.recent or realty",
            )
        if self._through is None or self._cache is None:
            return 0
        await self._cache.clear(prefix)
        return self._through.named(prefix)

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
        if self._through is None or self._cache is None:
            return 0
        depending = self._through.depending(table)
        if not depending and table not in self._through.tables:
            await self._look_for(self._through, table)
        await self._cache.touch(table, **known)
        return depending

    async def _look_for(self, through: Through, table: str) -> None:
        try:
            async with self._in_transaction() as connection:
                kind = await connection.fetchval(_KIND, table)
        except Exception:  # noqa: BLE001 (that PostgreSQL cannot be asked does not keep a write from being told)
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
        through.tables.add(table)

    async def touch(self, table: str, **known: object) -> int:
        """Invalidate what depends on a table, by the former name of ``invalidate``."""
        warn_of_old_name("db.cache.touch", "db.cache.invalidate")
        return await self.invalidate(table, **known)

    async def drain(self) -> int:
        """Tell the cache what the triggers of ``plainsql cache triggers`` have noted, all that is committed
        by now; return how many notes it was.

        ``connect(cache_outbox=True)`` does so all the time. Raises ``CacheError`` where Redis does not
        answer: the notes then stay.
        """
        return 0 if self._cache is None else await drain_all(self._cache, self._in_transaction)

    def stats(self) -> Stats:
        """Return what the cache has done in this process so far."""
        return Stats() if self._cache is None else self._cache.stats()


def _is_dotted(name: object) -> bool:
    return isinstance(name, str) and all(part.isidentifier() for part in name.split("."))


def _is_qualified(table: object) -> bool:
    return isinstance(table, str) and all(table.partition("."))


def _shown(name: object) -> str:
    return repr(name[:80]) if isinstance(name, str) else type(name).__name__
