"""A connection that can reset its session, or raises if only closing the connection would."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import asyncpg
from asyncpg import exceptions

__all__ = ["ResettableConnection", "may_alter_statements"]

# asyncpg's names of prepared statements. Other names are the user's: `prepare`, `Connection.prepare(name=)`.
_OWN = "__asyncpg_"

_STATEMENTS = re.compile(r"\b(?:prepare|deallocate|discard)\b", re.IGNORECASE)


def may_alter_statements(sql: str) -> bool:
    """Return whether a text may prepare statements by name, or drop prepared ones."""
    return _STATEMENTS.search(sql) is not None


class ResettableConnection(asyncpg.Connection):
    """A connection that notices what a reset query does not undo.

    ``DISCARD ALL`` would undo more, but drop the statements that make the next calls fast.
    """

    __slots__ = ("is_altered", "is_suspect")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_altered = False
        """True if this client was changed: a codec of a type."""
        self.is_suspect = False
        """True if prepared statements may have been added or dropped since the last reset."""

    async def _cleanup_stmts(self) -> None:
        """Close the statements that are not needed any more, within the connection's time limit. asyncpg's
        own method waits without a limit if the network is silent.
        """
        unneeded, self._stmts_to_close = self._stmts_to_close, set()
        protocol: Any = self._protocol
        limit_s: float | None = protocol._get_timeout(None)
        for statement in unneeded:
            await protocol.close_statement(statement, limit_s)

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
