"""``plainsql.connect``: from a URL to a ``Database``."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from typing import Any

import asyncpg
from asyncpg import exceptions

from plainsql.database.codecs import Codecs
from plainsql.database.database import Database
from plainsql.database.leases import Leases
from plainsql.database.one_shot import Core
from plainsql.diagnose import cannot_connect
from plainsql.errors import ConnectError
from plainsql.settings import hide_password, resolve_database

__all__ = ["connect"]


def connect(
    url: str | None = None,
    *,
    min_size: int = 1,
    max_size: int = 10,
    connect_timeout: float = 10.0,
    acquire_timeout: float | None = 30.0,
    max_waiting: int = 10_000,
    max_age: float = 3600.0,
    max_idle: float = 300.0,
    statement_timeout: float | None = None,
    application_name: str = "plainsql",
    server_settings: Mapping[str, str] | None = None,
    prefetch: int = 500,
    join: bool = True,
    tenant_setting: str = "app.jwt_tenant",
    user_setting: str = "app.jwt_user",
) -> Connecting:
    """Connect to a PostgreSQL database.

    Use it as ``async with plainsql.connect(url) as db`` or ``db = await plainsql.connect(url)``.

    Args:
        url: ``postgresql://user:password@host:5432/database``. By default what the environment or
            ``pyproject.toml`` says (see ``plainsql.settings``), else the project's embedded server.
        min_size: connections that are opened at once and kept.
        max_size: connections at the most.
        connect_timeout: seconds that opening a connection may take.
        acquire_timeout: seconds that a call waits for a free connection; None waits for ever.
        max_waiting: calls that may wait for a connection at once; one more is refused.
        max_age: seconds after which a connection is replaced by a new one.
        max_idle: seconds after which an idle connection is closed, down to ``min_size``.
        statement_timeout: seconds that a statement may take, None is no limit; asyncio's own
            ``asyncio.timeout`` works around any call as well.
        application_name: what ``pg_stat_activity`` shows.
        server_settings: settings of the server for every connection, such as ``{"search_path": "shop"}``.
        prefetch: rows that ``.stream`` reads ahead.
        tenant_setting: the setting that ``db.tenant`` sets to the tenant's id.
        user_setting: the setting that ``db.tenant`` sets to the acting user's id.
        join: run concurrent calls of the same read as one statement.

    Raises ``ConnectError`` where the server cannot be reached or does not let us in, ``SettingsError`` where
    no database is configured.
    """
    pool_options = {
        "min_size": min_size,
        "max_size": max_size,
        "timeout": connect_timeout,
        "command_timeout": statement_timeout,
        # Leases outlive these: idle and old connections are theirs to close.
        "max_inactive_connection_lifetime": 0,
        "max_queries": 2**62,
        "server_settings": {
            "application_name": application_name,
            # With a filter, an HNSW scan must go on until it has found enough. A database without pgvector
            # takes this for a setting of an extension that is yet to be loaded.
            "hnsw.iterative_scan": "relaxed_order",
            **(server_settings or {}),
        },
        # Every variant of every query stays prepared: there are no others.
        "statement_cache_size": 2048,
        "max_cached_statement_lifetime": 0,
    }
    lease_options = {
        "min_size": min_size,
        "max_size": max_size,
        "wait_timeout": acquire_timeout,
        "max_waiting": max_waiting,
        "max_age": max_age,
        "max_idle": max_idle,
    }
    return Connecting(url, pool_options, lease_options, prefetch, join, (tenant_setting, user_setting))


class Connecting:
    """A database that is about to be connected: await it, or enter it with ``async with``."""

    def __init__(
        self,
        url: str | None,
        pool_options: dict[str, Any],
        lease_options: dict[str, Any],
        prefetch: int,
        joins: bool,
        tenant_settings: tuple[str, str],
    ) -> None:
        self._url = url
        self._pool_options = pool_options
        self._lease_options = lease_options
        self._prefetch = prefetch
        self._joins = joins
        self._tenant_settings = tenant_settings
        self._database: Database | None = None

    def __await__(self) -> Generator[Any, None, Database]:
        return self._open().__await__()

    async def __aenter__(self) -> Database:
        self._database = await self._open()
        return self._database

    async def __aexit__(self, *_: object) -> None:
        if self._database is not None:
            await self._database.close()

    async def _open(self) -> Database:
        with ExitStack() as stack:
            # The embedded server starts in a thread: it takes a second or two.
            url = await asyncio.to_thread(stack.enter_context, resolve_database(self._url))
            failed: ConnectError | None = None
            pool: Any = None
            try:
                create_pool: Any = asyncpg.create_pool  # untyped
                pool = await create_pool(url, init=Codecs().install, **self._pool_options)
            except exceptions.PostgresError as error:
                failed = cannot_connect(url, error, getattr(error, "sqlstate", None))
            except (OSError, TimeoutError, exceptions.InterfaceError, ValueError) as error:
                failed = cannot_connect(url, error)
            if failed is not None:
                # Outside of the handler, so that the driver's error, which may quote the URL, does not come
                # along.
                raise failed
            core = Core(Leases(pool, **self._lease_options), hide_password(url), self._prefetch, self._joins)
            return Database(core, pool, self._tenant_settings, stack.pop_all().close)
