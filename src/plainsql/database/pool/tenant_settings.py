"""A tenant's settings in the round trip of the statement that they are for.

The compiled protocol sends several statements in one round trip. A step without a Sync after it is in one
implicit transaction with the step that follows::

    select pg_catalog.set_config('app.jwt_tenant', 'acme', true), …    the settings' step
    select … from documents where …                                    the statement's own step
    Sync                                                               the end of the transaction

So the settings are those of this transaction only. At its Sync they are gone, whether the statement was
committed, failed or was cancelled: no session carries them to another call.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from asyncpg import Record

from plainsql.database.pool.following_statement import FollowingStatement
from plainsql.speed.loaded import STEP
from plainsql.tenancy import Tenant

__all__ = ["LocalSettings", "is_of_settings", "prepare_settings", "ready_step", "ready_steps"]

_BEGINNING = "select pg_catalog.set_config($1, $2, true)"


class LocalSettings:
    """Settings with their values, to be set for one implicit transaction by one statement.

    None as a value is the value that the session began with. ``following``: a statement that is sent behind
    the one that the settings are for.
    """

    __slots__ = ("following", "sql", "values")

    def __init__(
        self, settings: Iterable[tuple[str, str | None]], following: FollowingStatement | None = None
    ) -> None:
        values: tuple[str | None, ...] = ()
        for setting in settings:
            values += setting
        self.values = values
        self.sql = _sql(len(values) // 2)
        self.following = following

    def __repr__(self) -> str:
        return f"<LocalSettings {', '.join(self.values[::2])}>"  # type: ignore[arg-type]

    @classmethod
    def of(cls, tenant: Tenant | None, names: Iterable[str], search_path: str = "") -> LocalSettings:
        """Return a tenant's settings; without a tenant, the settings ``names`` with the values that the
        session began with. ``search_path``: one for the transaction, if sessions cannot carry it.
        """
        settings: Iterable[tuple[str, str | None]]
        settings = tenant if tenant is not None else [(name, None) for name in names]
        return cls([*settings, ("search_path", search_path)] if search_path else settings)

    @classmethod
    def with_own(cls, own: Iterable[tuple[str, str]], settings: LocalSettings | None) -> LocalSettings:
        """Return a statement's ``own`` settings in front of others, which win."""
        return cls([*own, *cls._pairs(settings)])

    @classmethod
    def followed_by(cls, following: FollowingStatement, settings: LocalSettings | None) -> LocalSettings:
        """Return settings, or none, with a statement that is sent behind the one that they are for."""
        return cls(cls._pairs(settings), following)

    @staticmethod
    def _pairs(settings: LocalSettings | None) -> list[tuple[str, str | None]]:
        values = () if settings is None else settings.values
        return [(name or "", value) for name, value in zip(values[::2], values[1::2], strict=True)]


def ready_steps(connection: Any, settings: LocalSettings) -> tuple[Any, ...] | None:
    """Return what `ready_step` returns as a tuple, which is empty if nothing is to be set."""
    if not settings.values:
        return ()
    step = ready_step(connection, settings)
    return None if step is None else (step,)


def ready_step(connection: Any, settings: LocalSettings) -> Any:
    """Return the step that sets the settings for the steps after it, up to the next one with a Sync; None if
    the connection has not prepared its statement: see `prepare_settings`.

    Put it in front of each group of steps that ends with a Sync: the settings of one group are not those of
    the next. It is a new object for each exchange. The connection has the compiled protocol, keeps prepared
    statements, and is in no transaction.
    """
    statement = connection._stmt_cache.get((settings.sql, Record, False))
    if statement is None:
        return None
    return STEP(statement, settings.values, synced=False, drop_rows=True)


async def prepare_settings(connection: Any, settings: LocalSettings, timeout: float | None) -> None:
    """Prepare the settings' statement, if the connection has not prepared it yet.

    It is in the driver's cache, as a query's statements are, and is dropped and prepared again with them.
    Take other statements from the cache after that: they may be dropped and closed meanwhile.
    """
    if settings.values:
        await connection._get_statement(settings.sql, timeout)


def is_of_settings(error: BaseException) -> bool:
    """Return whether the server refused the settings, and not the statement that they were for."""
    sql: str | None = getattr(error, "query", None)
    return sql is not None and sql.startswith(_BEGINNING)


@cache
def _sql(count: int) -> str:
    return "select " + ", ".join(
        f"pg_catalog.set_config(${2 * i + 1}, ${2 * i + 2}, true)" for i in range(count)
    )
