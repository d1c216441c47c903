"""How queries meet the cache: reads go through it, writes end what they make stale.

The cache knows readings and what is touched; it knows no driver and no query. Here a query becomes a reading,
and a write's arguments and rows become what it has touched.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable
from contextlib import nullcontext
from dataclasses import replace
from time import monotonic
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, urlsplit

import msgspec

from plainsql.cache import Cache, CachedQuery
from plainsql.database.caching.server_identity import ServerIdentity
from plainsql.dependencies import Dependency
from plainsql.query import CompiledQuery
from plainsql.types import JSON

__all__ = ["ANY_TABLE", "CachedQueries", "settings_of_url"]

R = TypeVar("R")
T = TypeVar("T")

_log = logging.getLogger("plainsql.cache")

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0

ANY_TABLE: Final = "*"
"""The name under which every cached read depends on writes about which nothing is known."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What tells the results of one database from those of another that shares a cache with it, beside the server:
# who asks, which tables unqualified names mean, and what its sessions are set to. What is set for the role or
# the database is taken as it stands there: not every role may ask for every setting. With the database's oid,
# because one of the same name may have been made in its place.
_IDENTITY = r"""
select jsonb_build_array(
  current_database(), (select oid::bigint from pg_database where datname = current_database()),
  session_user, current_user, current_schemas(true),
  (select jsonb_object_agg(s.name, current_setting(s.name, true)) from unnest($1::text[]) as s (name)),
  (
    select jsonb_agg(s.setting order by s.setting)
    from pg_db_role_setting as r
    cross join lateral unnest(r.setconfig) as s (setting)
    left join pg_settings as p on p.name = split_part(s.setting, '=', 1)
    where r.setrole in (0, (select oid from pg_roles where rolname = session_user))
      and r.setdatabase in (0, (select oid from pg_database where datname = current_database()))
      and split_part(s.setting, '=', 1) <> 'application_name'
      and split_part(s.setting, '=', 1) not like '%\_timeout'
      and split_part(coalesce(p.category, ''), ' / ', 1) <> all (
        array[
          'Autovacuum', 'Connections and Authentication', 'Query Tuning', 'Replication',
          'Reporting and Logging', 'Resource Usage', 'Statistics', 'Vacuuming', 'Write-Ahead Log'
        ]
      )
  )
)::text
"""

# What the server's own stable functions and its input and output of values go by.
_SETTINGS = _names(
    """
    array_nulls bytea_output datestyle default_text_search_config extra_float_digits
    gin_fuzzy_search_limit intervalstyle lc_messages lc_monetary lc_numeric lc_time timezone
    timezone_abbreviations xmlbinary xmloption
    """
)

_VALUES = """
select jsonb_object_agg(s.name, current_setting(s.name, true))::text from unnest($1::text[]) as s (name)
"""

# Parameters of a URL that are no settings of a session: asyncpg takes them for itself.
_NO_SETTINGS = _names(
    """
    application_name database dbname direct_tls gsslib host krbsrvname passfile password port
    service servicefile ssl_max_protocol_version ssl_min_protocol_version sslcert sslcrl sslkey
    sslmode sslnegotiation sslpassword sslrootcert target_session_attrs user
    """
)


def settings_of_url(url: str) -> dict[str, str]:
    """Return the settings that a URL gives to its sessions; ``options`` as it stands is one of them."""
    return {name: value for name, value in parse_qsl(urlsplit(url).query) if name not in _NO_SETTINGS}


def cached_query_of(query: CompiledQuery[Any, R], identity: str) -> CachedQuery[R] | None:
    """Return a cached query as the cache has it; None where its results cannot be stored and be the same
    again: a column of a type that only the driver knows.
    """
    policy = query.cache
    if policy is None:
        return None
    item: Any = query.item
    if query.kind == "count" or not _is_exact(item):
        return None
    type_: Any = item
    if query.kind == "optional":
        type_ = item | None
    elif query.kind == "many":
        type_ = list.__class_getitem__(item)
    policy = replace(policy, dependencies=(*policy.dependencies, Dependency(ANY_TABLE)))
    shape = "\0".join((identity, query.sql, repr(type_), *_shape(item)))
    try:
        return CachedQuery(query.name, policy, query.parameters, type_, shape=shape)
    except TypeError:
        return None


class CachedQueries:
    """The cache of one database, and its queries as the cache has them.

    As long as nothing was ever read through a cache that only this process has, there is nothing that a write
    could make stale, and writes pay nothing.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        shared: bool,
        settings: Collection[str] = (),
        url: str = "",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.cache = cache
        self.servers = ServerIdentity(self._withdraw)
        self.by_transaction = False
        """Whether a pooler stands in between that may lead each transaction to another server."""
        given = settings_of_url(url)
        # What stands in `options` is not taken apart.
        self._options = given.pop("options", "")
        names = {*_SETTINGS, *settings, *given}
        self._settings = sorted(name for name in names if not name.endswith("_timeout"))
        self._values: dict[str, str | None] = {}
        """The values that nobody's sessions have of the settings that queries name."""
        self._shared = shared
        self._used = False
        self._cached_queries: dict[CompiledQuery[Any, Any], CachedQuery[Any] | None] = {}
        self.tables: set[str] = set()
        """Tables that the database was found to have, by hand."""
        self._identity: str | None = None
        self._clock = clock
        self._identify_at = 0.0
        """Not to be asked again before; after a failure only."""
        self._pause = _FIRST_PAUSE_S

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be stored anywhere."""
        return not (self._shared or self._used)

    def knows(self, query: CompiledQuery[Any, Any]) -> bool:
        """Say whether ``reading`` has what it needs; if not, ``ask`` comes first."""
        return query in self._cached_queries

    @property
    def may_identify(self) -> bool:
        """Whether ``ask`` is of use now."""
        if self.by_transaction or self.servers.current:
            return self._clock() >= self._identify_at
        self.servers.review()  # one may have been closed or promoted
        return bool(self.servers.current) and self._clock() >= self._identify_at

    async def identify(self, connection: Any, query: CompiledQuery[Any, Any]) -> None:
        """Ask one of nobody's sessions what tells the results of a query from another database's.

        Without a failure it may leave ``reading`` without an answer, if the server changes meanwhile.
        """
        if self.by_transaction:
            # A call behind a pooler may be a transaction already.
            async with nullcontext() if connection.is_in_transaction() else connection.transaction():
                if self._identity is None:
                    await self.servers.claim(connection)
                await self._identify(connection, query)
        else:
            if not self.servers.knows(connection):
                await self.servers.identify(connection)
            await self._identify(connection, query)
        if self._identity is None:
            self._identify_at = self._clock() + _FIRST_PAUSE_S
        else:
            self._pause = _FIRST_PAUSE_S

    async def _identify(self, connection: Any, query: CompiledQuery[Any, Any]) -> None:
        server = self.servers.current
        if server is None:
            return
        identity, values = self._identity, self._values
        if identity is None:
            identity = str(await connection.fetchval(_IDENTITY, self._settings))
        names = [name for name in _named_settings(query) if name not in values]
        found = json.loads(await connection.fetchval(_VALUES, names)) if names else {}
        if self.servers.current == server and self._values is values:
            self._identity = identity
            values |= found

    def identification_failed(self, error: BaseException) -> None:
        """Count a failure of ``ask``, and leave PostgreSQL alone with it for a while."""
        self.cache.count_error()
        if self._pause == _FIRST_PAUSE_S:
            _log.warning(
                "nothing is cached for now: PostgreSQL does not say whose results these are (%s%s)",
                type(error).__name__,
                f", SQLSTATE {state}" if (state := getattr(error, "sqlstate", None)) else "",
            )
        self._identify_at = self._clock() + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_S)

    def cached_query(self, query: CompiledQuery[Any, Any]) -> CachedQuery[Any] | None:
        """Return a query as a reading, or None if its results cannot be stored: ever, or now."""
        if query not in self._cached_queries:
            named = _named_settings(query)
            if self._identity is None or self.servers.current is None or not self._values.keys() >= {*named}:
                self.cache.count_bypass()
                return None
            values = [(name, self._values[name]) for name in named]
            identity = json.dumps([self.servers.current, self._identity, self._options, values])
            self._cached_queries[query] = cached_query_of(query, identity)
            self._used = True
        return self._cached_queries[query]

    def depending(self, table: str) -> int:
        """Return how many queries that were read through the cache depend on a table."""
        return sum(cached is not None and table in cached.tables for cached in self._cached_queries.values())

    def named(self, prefix: str) -> int:
        """Return how many queries that were read through the cache have a name under a prefix."""
        return sum(
            cached is not None and prefix in cached.prefixes for cached in self._cached_queries.values()
        )

    def _withdraw(self) -> None:
        """Have nothing stored of what is being read: the connections are on another server, or on two."""
        for cached in self._cached_queries.values():
            if cached is not None:
                cached.withdrawn = True
        self._cached_queries, self._identity, self._values = {}, None, {}
        self._identify_at = 0.0


def _named_settings(query: CompiledQuery[Any, Any]) -> list[str]:
    """The settings that are read by name on the way to a query's result."""
    named = set(query.cache.settings) if query.cache is not None else set[str]()
    return sorted(named.union(*(query.row_security or {}).values()))


def _is_exact(type_: Any) -> bool:
    """Whether MessagePack gives back what was stored: ``Any`` does only for what was JSON."""
    if get_origin(type_) is Annotated:
        return JSON in get_args(type_) or _is_exact(get_args(type_)[0])
    if type_ is Any or type_ is object:
        return False
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        return all(_is_exact(hint) for hint in get_type_hints(type_, include_extras=True).values())
    return all(_is_exact(part) for part in get_args(type_) if part is not ... and not isinstance(part, str))


def _shape(item: Any) -> Iterable[str]:
    if isinstance(item, type) and issubclass(item, msgspec.Struct):
        for name, hint in get_type_hints(item, include_extras=True).items():
            yield f"{name}: {hint!r}"
