"""A connection that can reset its session, or raises if only closing the connection would."""

from __future__ import annotations

import asyncio
import re
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg import exceptions

from plainsql.database.pool.session_hook import OnConnect, prepare_session

__all__ = ["ResettableConnection", "may_alter_statements", "of_element"]

# asyncpg's names of prepared statements. Other names are the user's: `prepare`, `Connection.prepare(name=)`.
_OWN = "__asyncpg_"

_STATEMENTS = re.compile(r"\b(?:prepare|deallocate|discard)\b", re.IGNORECASE)


def of_element(error: exceptions.DataError, number: int) -> exceptions.DataError:
    """Return asyncpg's error of an argument as its pipelines raise it, with the number of the set.

    An error of the server stays what it is.
    """
    if getattr(error, "severity", None) is not None:
        return error
    place = re.compile(r"^(invalid input for query argument \$\d+):")
    return exceptions.DataError(place.sub(rf"\1 in element #{number} of executemany() sequence:", str(error)))


def may_alter_statements(sql: str) -> bool:
    """Return whether a text may prepare statements by name, or drop prepared ones."""
    return _STATEMENTS.search(sql) is not None


class ConnectionBefore030(asyncpg.Connection):
    """asyncpg's connection with the methods that version 0.30 brought."""

    __slots__ = ()

    async def fetchmany(
        self, query: Any, args: Any, *, timeout: float | None = None, record_class: Any = None
    ) -> list[Any]:
        """Run a statement for each set of values, all or none, and return all records in one list.

        A round trip for each: the protocol drops the rows of a pipeline.
        """
        connection: Any = self
        found: list[Any] = []
        is_open = connection.is_in_transaction()
        async with asyncio.timeout(timeout), nullcontext() if is_open else connection.transaction():
            for number, values in enumerate(args):
                try:
                    found += await connection.fetch(query, *values, record_class=record_class)
                except exceptions.DataError as error:
                    raised = of_element(error, number)
                    if raised is error:
                        raise
                    raise raised from error.__cause__
        return found

    def get_reset_query(self) -> str:
        connection: Any = self
        query: str = connection._get_reset_query()
        return query

    async def _reset(self) -> None:
        connection: Any = self
        connection._check_open()
        connection._listeners.clear()
        connection._log_listeners.clear()
        if connection.is_in_transaction() or connection._top_xact is not None:
            connection._top_xact = None
            await connection.execute("rollback")


if TYPE_CHECKING:
    _Connection = asyncpg.Connection
else:
    _Connection = asyncpg.Connection if hasattr(asyncpg.Connection, "fetchmany") else ConnectionBefore030


class ResettableConnection(_Connection):
    """A connection that notices what a reset query does not undo.

    ``DISCARD ALL`` would undo more, but drop the statements that make the next calls fast.
    """

    __slots__ = ("compared", "is_altered", "is_suspect", "on_connect", "public_statements")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_connect: OnConnect | None = None
        """Prepares the session again after a reset."""
        self.is_altered = False
        """True if this client was changed: a codec of a type."""
        self.is_suspect = False
        """True if prepared statements may have been added or dropped since the last reset."""
        self.public_statements: dict[str, tuple[int, Any]] = {}
        """asyncpg's prepared statements by their texts, if `execution.driver` uses its public methods. With
        each the number of releases before it was made: it ends with the next."""
        self.compared: dict[Any, tuple[Any, ...]] = {}
        """By prepared statement: the queries whose row types its columns were compared with, and fit."""

    def _drop_local_statement_cache(self) -> None:
        super()._drop_local_statement_cache()  # type: ignore[no-untyped-call]
        self.public_statements.clear()
        self.compared.clear()

    async def _cleanup_stmts(self) -> None:
        """Close the statements that are not needed any more, within the connection's time limit. asyncpg's
        own method waits without a limit if the network is silent, and forgets the rest if it is cancelled.
        """
        # Meanwhile another connection may add the statement that this one has just prepared, and now runs.
        unneeded: set[Any]
        unneeded, self._stmts_to_close = self._stmts_to_close, set()
        protocol: Any = self._protocol
        limit_s: float | None = protocol._get_timeout(None)
        try:
            while unneeded:
                statement = next(iter(unneeded))
                if statement.refs == 0:  # else it is in use again, and added again when it is not
                    await protocol.close_statement(statement, limit_s)
                unneeded.discard(statement)
        finally:
            # After a cancellation one is closed twice, which is no error.
            self._stmts_to_close |= unneeded

    async def reset(self, *, timeout: float | None = None) -> None:
        """Reset the session to what it began with. Raises if that is impossible: then the connection must be
        closed.
        """
        if self.is_altered:
            raise exceptions.InterfaceError("the connection reads and writes types in ways of its own")
        async with asyncio.timeout(timeout):
            await self._reset()  # type: ignore[no-untyped-call]
            reset_query: str = self.get_reset_query()  # type: ignore[no-untyped-call]
            if reset_query:
                await self._run_reset(reset_query)
                if self.on_connect is not None:
                    await prepare_session(self.on_connect, self)

    async def _run_reset(self, reset_query: str) -> None:
        if not self.is_suspect:
            await self.execute(reset_query)
            return
        cached: int = len(self._stmt_cache)
        status: str = await self.execute(
            f"{reset_query}\n"
            "select from (select count(*) as n, count(*) filter (where from_sql or "
            f"not starts_with(name, '{_OWN}')) as foreign_n from pg_prepared_statements) as p "
            f"where foreign_n = 0 and n >= {cached:d}"
        )
        if status != "SELECT 1":
            raise exceptions.InterfaceError("prepared statements were added, or dropped")
        self.is_suspect = False
