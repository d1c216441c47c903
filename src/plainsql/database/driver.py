"""A statement that its connection has prepared, sent without what asyncpg puts in front of it.

Between ``Connection.fetch`` and the wire are five calls: for exclusive use, loggers, the time limit, the
statement cache, and a second try where the statement has grown old. Where the statement is in the cache, the
wire alone is needed; the rest is some 7 % of what a read by its key takes. This is the one place that reaches
behind asyncpg's public methods for speed, and a reason for which its version is capped.
"""

from __future__ import annotations

from typing import Any

from asyncpg import Record, exceptions

__all__ = ["fetch"]


async def fetch(connection: Any, sql: str, values: tuple[object, ...] | list[object]) -> list[Any]:
    """Return all records, as ``connection.fetch(sql, *values)`` does, and raise what that raises."""
    statement = connection._stmt_cache.get((sql, Record, False))
    if statement is not None and not connection._query_loggers:
        try:
            # The state, the arguments, no portal's name, all rows, no status, the connection's time limit.
            records: list[Any] = await connection._protocol.bind_execute(
                statement, values, "", 0, False, None
            )
            return records
        except exceptions.OutdatedSchemaCacheError:
            await connection.reload_schema_state()
            raise  # it was executed
        except exceptions.InvalidCachedStatementError:
            # Its columns have changed since it was prepared, and it was not executed.
            connection._drop_global_statement_cache()
            if connection.is_in_transaction():
                raise
    return await connection.fetch(sql, *values)  # type: ignore[no-any-return]
