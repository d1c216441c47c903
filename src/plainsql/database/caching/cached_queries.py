"""Queries as the cache has them.

The cache knows cached queries and touched rows; it knows no driver and no query of ours. This module makes a
cached query of a query, with the identity of the database that its results belong to.
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

from plainsql.base_form import base_form
from plainsql.cache import Cache, CachedQuery
from plainsql.cache.cached_query import Codec
from plainsql.cache_times import CacheTimes
from plainsql.database.caching.converting_codec import ConvertingCodec
from plainsql.database.caching.server_identity import ServerIdentity
from plainsql.dependencies import Dependency
from plainsql.query import CompiledQuery
from plainsql.types import JSON

__all__ = ["ANY_TABLE", "CachedQueries", "settings_of_url"]

R = TypeVar("R")
T = TypeVar("T")

_log = logging.getLogger("plainsql.cache")

_MIN_PAUSE_S = 1.0
_MAX_PAUSE_S = 60.0

ANY_TABLE: Final = "*"
"""The name under which every cached read depends on writes about which nothing is known."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The identity of a database: what separates its results from those of another database on the same server
# that shares a cache with it. It has the user, the tables that unqualified names mean, and the settings of
# its sessions. Settings of the role or the database are taken from the catalog, because not every role may
# read every setting. The database's oid is part of it, because a database may have been replaced by one of
# the same name.
_IDENTITY_SQL = r"""
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

# The settings that the server's own stable functions, and its input and output of values, depend on.
_SETTINGS = _names(
    """
    array_nulls bytea_output datestyle default_text_search_config extra_float_digits
    gin_fuzzy_search_limit intervalstyle lc_messages lc_monetary lc_numeric lc_time timezone
    timezone_abbreviations xmlbinary xmloption
    """
)

_VALUES_SQL = """
select jsonb_object_agg(s.name, current_setting(s.name, true))::text from unnest($1::text[]) as s (name)
"""

# Parameters of a URL that are not settings of a session: asyncpg takes them for itself.
_NO_SETTINGS = _names(
    """
    application_name database dbname direct_tls gsslib host krbsrvname passfile password port
    service servicefile ssl_max_protocol_version ssl_min_protocol_version sslcert sslcrl sslkey
    sslmode sslnegotiation sslpassword sslrootcert target_session_attrs user
    """
)


def settings_of_url(url: str) -> dict[str, str]:
    """Return the settings that a URL gives to its sessions; ``options`` is one of them, as a whole."""
    return {name: value for name, value in parse_qsl(urlsplit(url).query) if name not in _NO_SETTINGS}


def cached_query_of(
    query: CompiledQuery[Any, R], identity: str, times: CacheTimes | None = None
) -> CachedQuery[R] | None:
    """Return a query as the cache has it. Return None if the project has turned it off, or if its results
    cannot be stored exactly, because of a column of a type that only the driver knows.
    """
    policy = query.cache
    if policy is not None and times is not None:
        policy = times.of(query.name, policy)
    if policy is None:
        return None
    item: Any = query.item
    form = base_form(item)
    if query.kind == "count" or not _is_exact(item if form is None else form.type):
        return None
    type_: Any = item
    if query.kind == "optional":
        type_ = item | None
    elif query.kind == "many":
        type_ = list.__class_getitem__(item)
    policy = replace(policy, dependencies=(*policy.dependencies, Dependency(ANY_TABLE)))
    shape = "\0".join((identity, query.sql, repr(type_), *_shape(item)))
    try:
        codec: Codec[Any] | None = None
        if form is not None and (whole := base_form(type_)) is not None:
            codec = ConvertingCodec(whole)
        return CachedQuery(
            query.name, policy, query.parameters, type_, shape=shape, codec=codec, forms=_vector_forms(query)
        )
    except TypeError:
        return None


def _vector_forms(query: CompiledQuery[Any, Any]) -> dict[int, Callable[[Any], bytes]]:
    """Return the encoders of a query's vectors, by the positions of the parameters: an array, a list and a
    ``Vector`` of the same numbers are one value.
    """
    annotations = getattr(query.bind_function, "__annotations__", {})
    if not any("Vector" in str(annotation) for annotation in annotations.values()):
        return {}
    try:
        hints = get_type_hints(query.bind_function)
    except NameError:  # a name that the module has for type checkers only
        return {}
    from plainsql.vector import codecs

    return {
        place: encode
        for place, name in enumerate(query.parameters)
        for kind, encode in codecs.ENCODERS.items()
        if kind in get_args(hints.get(name))
    }


class CachedQueries:
    """The cache of one database, and its queries as the cache has them.

    If only this process has the cache and no read went through it yet, a write cannot make anything stale,
    and pays nothing.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        shared: bool,
        settings: Collection[str] = (),
        url: str = "",
        times: CacheTimes | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.cache = cache
        self.servers = ServerIdentity(self._withdraw)
        self.by_transaction = False
        """True behind a pooler that may lead each transaction to another server."""
        given = settings_of_url(url)
        # `options` is not parsed: it is one value.
        self._options = given.pop("options", "")
        names = {*_SETTINGS, *settings, *given}
        self._settings = sorted(name for name in names if not name.endswith("_timeout"))
        self._values: dict[str, str | None] = {}
        """The values of the settings that queries name, in sessions without a tenant."""
        self._shared = shared
        self._times = times or CacheTimes()
        self._used = False
        self.known: dict[CompiledQuery[Any, Any], CachedQuery[Any] | None] = {}
        """The queries as the cache has them; None for those whose results it cannot store."""
        self.tables: set[str] = set()
        """The tables that `db.cache.invalidate` has found in the database."""
        self._identity: str | None = None
        self._clock = clock
        self._identify_at = 0.0
        """The earliest time of the next identification; later than now after a failure only."""
        self._pause = _MIN_PAUSE_S

    @property
    def is_empty(self) -> bool:
        """True if nothing can be stored anywhere."""
        return not (self._shared or self._used)

    def knows(self, query: CompiledQuery[Any, Any]) -> bool:
        """Return whether ``cached_query`` has what it needs; if not, ``identify`` comes first."""
        return query in self.known

    @property
    def may_identify(self) -> bool:
        """True if ``identify`` is of use now."""
        if self.by_transaction or self.servers.current:
            return self._clock() >= self._identify_at
        self.servers.review()  # a server may have been closed or promoted
        return bool(self.servers.current) and self._clock() >= self._identify_at

    async def identify(self, connection: Any, query: CompiledQuery[Any, Any]) -> None:
        """Read, in a session without a tenant, what separates the results of a query from another database's.

        If the server changes in the meantime, ``cached_query`` may still have no answer.
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
            self._identify_at = self._clock() + _MIN_PAUSE_S
        else:
            self._pause = _MIN_PAUSE_S

    async def _identify(self, connection: Any, query: CompiledQuery[Any, Any]) -> None:
        server = self.servers.current
        if server is None:
            return
        identity, values = self._identity, self._values
        if identity is None:
            identity = str(await connection.fetchval(_IDENTITY_SQL, self._settings))
        names = [name for name in _named_settings(query) if name not in values]
        found = json.loads(await connection.fetchval(_VALUES_SQL, names)) if names else {}
        if self.servers.current == server and self._values is values:
            self._identity = identity
            values |= found

    def identification_failed(self, error: BaseException) -> None:
        """Count a failure of ``identify``, and pause it for a while."""
        self.cache.count_error()
        if self._pause == _MIN_PAUSE_S:
            _log.warning(
                "nothing is cached for now: PostgreSQL does not say whose results these are (%s%s)",
                type(error).__name__,
                f", SQLSTATE {state}" if (state := getattr(error, "sqlstate", None)) else "",
            )
        self._identify_at = self._clock() + self._pause
        self._pause = min(self._pause * 2, _MAX_PAUSE_S)

    def cached_query(self, query: CompiledQuery[Any, Any]) -> CachedQuery[Any] | None:
        """Return a query as the cache has it, or None if its results cannot be stored, ever or now."""
        if query not in self.known:
            named = _named_settings(query)
            if self._identity is None or self.servers.current is None or not self._values.keys() >= {*named}:
                self.cache.count_bypass()
                return None
            values = [(name, self._values[name]) for name in named]
            identity = json.dumps([self.servers.current, self._identity, self._options, values])
            self.known[query] = cached_query_of(query, identity, self._times)
            self._used = True
        return self.known[query]

    def depending(self, table: str) -> int:
        """Return how many queries that were read through the cache depend on a table."""
        return sum(cached is not None and table in cached.tables for cached in self.known.values())

    def named(self, prefix: str) -> int:
        """Return how many queries that were read through the cache have a name under a prefix."""
        return sum(cached is not None and prefix in cached.prefixes for cached in self.known.values())

    def _withdraw(self) -> None:
        """Store nothing of the reads in progress: the connections are on another server, or on two."""
        for cached in self.known.values():
            if cached is not None:
                cached.withdrawn = True
        self.known, self._identity, self._values = {}, None, {}
        self._identify_at = 0.0


def _named_settings(query: CompiledQuery[Any, Any]) -> list[str]:
    """Return the settings that are read by name on the way to a query's result."""
    named = set(query.cache.settings) if query.cache is not None else set[str]()
    return sorted(named.union(*(query.row_security or {}).values()))


def _is_exact(type_: Any) -> bool:
    """Return whether MessagePack returns what was stored. ``Any`` does so only for what was JSON."""
    if get_origin(type_) is Annotated:
        return JSON in get_args(type_) or _is_exact(get_args(type_)[0])
    if type_ is Any or type_ is object:
        return False
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        return all(_is_exact(hint) for hint in get_type_hints(type_, include_extras=True).values())
    return all(_is_exact(part) for part in get_args(type_) if part is not ... and not isinstance(part, str))


def _shape(item: Any, within: tuple[Any, ...] = ()) -> Iterable[str]:
    """Yield the fields of a type with theirs, at any depth: a table that gets a column changes built JSON."""
    if not isinstance(item, type) or not issubclass(item, msgspec.Struct):
        for part in get_args(item):
            yield from _shape(part, within)
    elif item not in within:
        for name, hint in get_type_hints(item, include_extras=True).items():
            yield f"{name}: {hint!r}"
            yield from _shape(hint, (*within, item))
