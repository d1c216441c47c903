"""The checks of a database on one connection: ``db.check()``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from typing import Any

import psycopg
from psycopg.adapt import Transformer

from plainsql.errors import PlainsqlError
from plainsql.health.parts import DATABASE, all_steps, ends_checks, known
from plainsql.health.redis_check import check_redis
from plainsql.health.results import Check, Health, failure
from plainsql.health.server_checks import Place
from plainsql.health.speed_check import check_speed
from plainsql.health.steps import RefusedStepError, Rows, run_steps
from plainsql.layer_folders import known_layer
from plainsql.sync.cache_writer import CacheWriter
from plainsql.sync.connection import SharedConnection
from plainsql.sync.wire import run_script
from plainsql.tenancy import local_settings

__all__ = ["Lend", "check_health", "lend_shared"]

Lend = Callable[[float], AbstractContextManager[SharedConnection]]
"""Lends a connection for a block, within a number of seconds."""


def check_health(
    lend: Lend,
    address: str,
    tenant_settings: tuple[str, str],
    writer: CacheWriter | None,
    *,
    layer: str | None,
    migrations: bool,
    timeout: float,
) -> Health:
    """Return the results of all checks.

    Args:
        lend: lends the connection.
        address: the database's URL without its password.
        tenant_settings: the names of the settings of the tenant and the user.
        writer: the writer to the cache, whose Redis is checked; by default the configured one is.
        layer: the layer that is checked in depth.
        migrations: check the migrations.
        timeout: seconds in which PostgreSQL must have answered, and each call of Redis.

    Raises ``SettingsError`` if there is no layer of that name.
    """
    layers = known(migrations=migrations) if layer is None else [known_layer(layer)]
    no_tenant = local_settings(None, tenant_settings)
    done: list[Check] = []
    failed: Check | None = None
    ends = monotonic() + timeout
    try:
        with lend(timeout) as shared:
            place = Place(address, shared.psycopg.info.host)
            steps = all_steps(place, layers, in_depth=layer is not None, migrations=migrations)
            done.extend(run_steps(steps, lambda sql: _rows(shared, sql, no_tenant, ends)))
    except (PlainsqlError, psycopg.Error, OSError) as error:
        failed = failure(DATABASE, error)
        if isinstance(error, TimeoutError) and not isinstance(error, PlainsqlError):
            text, hint = f"no answer within {timeout:g} s", "check the load of the server, and the network"
            failed = Check(DATABASE, "failed", text, hint)
    if failed is not None:
        done = [failed, *(check for check in done if check.name != DATABASE)]
    redis = None if writer is None else writer.redis
    return Health((*done, check_redis(redis, required=False, timeout=timeout), check_speed()))


@contextmanager
def lend_shared(shared: SharedConnection, timeout: float) -> Iterator[SharedConnection]:
    """Lend the one connection of a database, which is replaced first if it is lost."""
    if not shared.lock.acquire(timeout=timeout):
        raise PlainsqlError(
            f"another thread had the database's one connection for {timeout:g} s",
            hint="a plainsql.sync.Pool has several connections",
        )
    try:
        shared.check_free()
        shared.revive(waits=False)  # a check says what is, also during a failover
        yield shared
    finally:
        shared.lock.release()


def _rows(shared: SharedConnection, sql: str, no_tenant: str, ends: float) -> Rows:
    """Return the rows of a step's SQL, in the simple protocol: ``explain`` takes parameters without values.

    Behind a pooler in transaction mode, the settings and the step are one transaction.
    """
    if shared.local_settings is not None:
        sql = f"{shared.local_settings}; {no_tenant}; {sql}"
    try:
        result = run_script(shared.psycopg, sql, max(ends - monotonic(), 0.0))[-1]
    except psycopg.Error as error:
        if ends_checks(error.sqlstate):
            raise
        message = error.diag.message_primary or type(error).__name__
        raise RefusedStepError(message, error.sqlstate or "", error.diag.message_hint) from None
    if not result.nfields:
        return ()
    # psycopg's own types, whatever the program has registered for its connection.
    transformer: Any = Transformer()
    transformer.set_pgresult(result)
    return list(transformer.load_rows(0, result.ntuples, tuple))
