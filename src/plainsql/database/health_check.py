"""The checks of a database through its own pool: ``db.check()``."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asyncpg import exceptions

from plainsql.database.pool.failover_wait import FailoverWait
from plainsql.database.pool.tenant_pool import TenantPool
from plainsql.errors import PlainsqlError
from plainsql.health.parts import DATABASE, all_steps, ends_checks, known
from plainsql.health.redis_check import check_redis
from plainsql.health.results import Check, Health, failure
from plainsql.health.server_checks import Place
from plainsql.health.speed_check import check_speed
from plainsql.health.steps import Command, RefusedStepError, Rows, Steps, next_step
from plainsql.layer_folders import Layer, known_layer
from plainsql.replication.replica_condition import IS_PRIMARY

if TYPE_CHECKING:
    from plainsql.database.state import DatabaseState

__all__ = ["check_health"]


async def check_health(
    state: DatabaseState, pool: TenantPool, *, layer: str | None, migrations: bool, timeout: float
) -> Health:
    """Return the results of all checks; each part ends within ``timeout`` seconds.

    Raises ``SettingsError`` if there is no layer of that name.
    """
    only = None if layer is None else await asyncio.to_thread(known_layer, layer)
    of_database, of_redis = await asyncio.gather(
        _database(state, pool, only, migrations, timeout), _redis(state, timeout)
    )
    return Health((*of_database, *_replicas(state), of_redis, check_speed()))


async def _database(
    state: DatabaseState, pool: TenantPool, only: Layer | None, migrations: bool, timeout: float
) -> list[Check]:
    done: list[Check] = []
    connections = state.pool.connections
    is_held = False
    try:
        async with asyncio.timeout(timeout):
            if only is None:
                layers = await asyncio.to_thread(known, migrations=migrations)
            else:
                layers = [only]
            async with _acquire(state, pool) as connection:
                is_held = True
                place = Place(state.pool.name, _host(connection))
                steps = all_steps(place, layers, in_depth=only is not None, migrations=migrations)
                await _run(steps, connection, done, in_transaction=state.pool.by_transaction)
        return done
    except (PlainsqlError, exceptions.PostgresError, exceptions.InterfaceError) as error:
        failed = failure(DATABASE, error)
    except TimeoutError:
        if is_held or connections.in_use < connections.max_size:
            text, hint = f"no answer within {timeout:g} s", "check the load of the server, and the network"
        else:
            text = f"no connection of the pool became free within {timeout:g} s"
            hint = f"hold connections for a shorter time, or raise max_size, which is {connections.max_size}"
        failed = Check(DATABASE, "failed", text, hint)
    except OSError as error:
        failed = failure(DATABASE, error)
    return [failed, *(check for check in done if check.name != DATABASE)]


def _replicas(state: DatabaseState) -> list[Check]:
    """Return what is known of the replicas. Without one, its reads run on the primary."""
    checks: list[Check] = []
    if state.replicas is None:
        return checks
    if state.replicas.discovery is not None and (fault := state.replicas.discovery.fault) is not None:
        checks.append(Check("replicas", "warning", f"they cannot be found: {fault.message}", fault.hint))
    for number, replica in enumerate(state.replicas.replicas, 1):
        stats = replica.stats()
        behind = "" if stats.lag is None else f", {stats.lag:.1f} s behind at most"
        is_well = stats.state in ("ok", IS_PRIMARY)
        if stats.state == IS_PRIMARY:
            behind = f": {IS_PRIMARY}"
        checks.append(
            Check(
                f"replica {number}",
                "ok" if is_well else "warning",
                f"{stats.name}{behind}" if is_well else f"{stats.name}: {stats.state}",
                None if is_well else "reads run on the primary until it is well",
                {
                    "address": stats.name,
                    "state": stats.state,
                    "lag_s": None if stats.lag is None else round(stats.lag, 3),
                },
            )
        )
    return checks


def _acquire(state: DatabaseState, pool: TenantPool) -> AbstractAsyncContextManager[Any]:
    # A check says what is; it does not wait for the end of a failover.
    pool = TenantPool(replace(state.pool, failover=FailoverWait(None)), pool.tenant)
    # Behind a pooler in transaction mode, statements outside of a transaction may run in any session.
    return pool.in_transaction(use="health") if state.pool.by_transaction else pool.acquire("health")


def _host(connection: Any) -> str:
    address = connection._addr
    return str(address if isinstance(address, str) else address[0])


async def _run(steps: Steps, connection: Any, done: list[Check], *, in_transaction: bool) -> None:
    """Run the steps and append each check when it is done."""
    answer: Rows | RefusedStepError | None = None
    while (step := next_step(steps, answer)) is not None:
        if isinstance(step, Check):
            answer = None
            done.append(step)
            continue
        try:
            # A step that is refused must not end the transaction of the others.
            async with connection.transaction() if in_transaction else nullcontext():
                if isinstance(step, Command):
                    await connection.execute(step.sql)
                    answer = ()
                else:
                    answer = await connection.fetch(step)
        except exceptions.PostgresError as error:
            sqlstate = getattr(error, "sqlstate", None)
            if ends_checks(sqlstate):
                raise
            answer = RefusedStepError(error.args[0], sqlstate or "", getattr(error, "hint", None))


async def _redis(state: DatabaseState, timeout: float) -> Check:
    link = None if state.cached is None else getattr(state.cached.queries.cache.store, "link", None)
    if link is not None and link.url is None:
        return Check("redis", "skipped", "the client of redis-py is the program's own, and is not checked")
    url = None if link is None else link.url
    try:
        async with asyncio.timeout(timeout):
            return await asyncio.to_thread(check_redis, url, required=False, timeout=timeout)
    except TimeoutError:
        return Check("redis", "failed", f"no answer within {timeout:g} s", "check the server's load")
