"""A statement on its connection: prepared, compared with the row type, and sent without asyncpg's detours.

Between ``Connection.fetch`` and the wire are five calls: for exclusive use, loggers, the time limit, the
statement cache, and a second attempt if the statement is out of date. If the statement is in the cache, only
the wire is needed. The rest is some 7 % of the time of a read by its key. This module alone uses what is
behind asyncpg's public methods for speed. With a version that is not known it uses the public methods.

Only statements that were compared with the query's row type are run: see `prepared_statements`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from asyncpg import Record, exceptions

from plainsql.database.execution.asyncpg_version import IS_KNOWN, PIPELINES_RETURN_ROWS
from plainsql.database.execution.column_plans import column_reader, has_columns
from plainsql.database.execution.prepared_statements import prepare
from plainsql.database.execution.time_limit import TimeLimit
from plainsql.database.pool.resettable_connection import of_element
from plainsql.database.pool.tenant_settings import LocalSettings, prepare_settings, ready_steps
from plainsql.errors import DecodeError
from plainsql.query import CompiledQuery
from plainsql.speed.loaded import MAKE_READER, NUMBERED_READER, PROTOCOL, STEP

__all__ = [
    "fetch",
    "fetch_many",
    "fetch_rows",
    "reader_of",
    "reads_rows",
    "ready",
    "run_steps",
    "status_with",
    "takes_steps",
]


_MAX_READERS = 1000
"""A connection keeps about so many readers of rows."""

_MAX_ATTEMPTS = 5
"""The number of times that a statement is prepared if its tables go on changing."""


async def fetch(
    connection: Any,
    sql: str,
    values: Sequence[object],
    query: CompiledQuery[Any, Any],
    own: int = 0,
    settings: LocalSettings | None = None,
) -> list[Any]:
    """Return all records, as ``connection.fetch(sql, *values)`` does, and raise what that raises.

    The last ``own`` columns are not the query's. ``settings`` go in the round trip of the statement. Raises
    ``ContractError`` if the result has other columns than the query's row type; then nothing was executed.
    """
    if settings is not None:
        return await _fetch_with(connection, settings, sql, values, query, own)
    if not IS_KNOWN:
        return await _prepared(
            connection,
            sql,
            values,
            query,
            own,
            lambda statement, limit_s: statement.fetch(*values, timeout=limit_s),
        )
    statement = ready(connection, sql, query)
    if statement is not None and not connection._query_loggers:
        try:
            # The statement, its arguments, no portal's name, all rows, no status, the connection's time
            # limit.
            records: list[Any] = await connection._protocol.bind_execute(
                statement, values, "", 0, False, None
            )
            return records
        except exceptions.OutdatedSchemaCacheError as error:
            await _learn_types(connection, query, error)
        except exceptions.InvalidCachedStatementError:
            # Its columns have changed since it was prepared; it was not executed.
            connection._drop_global_statement_cache()
            if connection.is_in_transaction():
                raise
    return await _prepared(
        connection,
        sql,
        values,
        query,
        own,
        lambda statement, timeout: connection._protocol.bind_execute(
            statement, values, "", 0, False, timeout
        ),
    )


async def fetch_rows(
    connection: Any,
    sql: str,
    values: Sequence[object],
    query: CompiledQuery[Any, Any],
    settings: LocalSettings | None = None,
) -> list[Any]:
    """Return the rows of a query with a plan, on a connection with the compiled protocol, and raise what
    `fetch` raises. They are read straight from the server's messages.
    """
    rows: list[Any]
    finish = None if query.is_columnar else query.plan.finish
    if settings is not None:
        rows = await _fetch_with(connection, settings, sql, values, query, 0, as_rows=True)
        return rows if finish is None else finish(rows)
    statement = ready(connection, sql, query)
    if statement is not None and not connection._query_loggers:
        try:
            protocol = connection._protocol
            rows = await protocol.fetch_rows(statement, values, _reader(connection, statement, query), None)
            return rows if finish is None else finish(rows)
        except exceptions.OutdatedSchemaCacheError as error:
            await _learn_types(connection, query, error)
        except exceptions.InvalidCachedStatementError:
            connection._drop_global_statement_cache()
            if connection.is_in_transaction():
                raise
    rows = await _prepared(
        connection,
        sql,
        values,
        query,
        0,
        lambda statement, timeout: connection._protocol.fetch_rows(
            statement, values, _reader(connection, statement, query), timeout
        ),
    )
    return rows if finish is None else finish(rows)


def reads_rows(connection: Any, query: CompiledQuery[Any, Any]) -> bool:
    """Return whether `fetch_rows` can run a query on a connection."""
    if query.is_columnar:
        return type(connection._protocol) is PROTOCOL and not connection._query_loggers
    return query.plan is not None and type(connection._protocol) is PROTOCOL


def _reader(connection: Any, statement: Any, query: CompiledQuery[Any, Any]) -> Any:
    """Return what reads the rows of a query's statement on a connection."""
    if query.is_columnar:
        return column_reader(connection, statement.query, query)
    return reader_of(connection._protocol, statement, query.plan)


def reader_of(protocol: Any, statement: Any, plan: Any) -> Any:
    """Return what reads the rows of a statement on a connection, as a plan says."""
    readers: dict[Any, tuple[Any, Any]] = protocol.readers
    found = readers.get(plan)
    if found is not None and found[0] is statement:
        return found[1]
    if len(readers) >= _MAX_READERS:  # those of statements that are not in the cache any more
        readers.clear()
    reader = MAKE_READER(plan, statement)
    readers[plan] = (statement, reader)
    return reader


async def _fetch_with(
    connection: Any,
    settings: LocalSettings,
    sql: str,
    values: Sequence[object],
    query: CompiledQuery[Any, Any],
    own: int,
    *,
    as_rows: bool = False,
) -> list[Any]:
    """Return the records or the rows of a statement with settings in its round trip.

    Both are one implicit transaction: the settings are gone when the answer is here.
    """
    statement = ready(connection, sql, query)
    if statement is not None and not connection._query_loggers:
        first = ready_steps(connection, settings)
        if first is not None:
            reader = _reader(connection, statement, query) if as_rows else None
            step = STEP(statement, values, reader, waiter=_waiter(settings))
            try:
                return await _exchange(connection, settings, (*first, step), None)
            except exceptions.OutdatedSchemaCacheError as error:
                await _learn_types(connection, query, error)
            except exceptions.InvalidCachedStatementError:
                connection._drop_global_statement_cache()

    async def run(statement: Any, timeout: float | None) -> list[Any]:
        first = ready_steps(connection, settings)
        reader = _reader(connection, statement, query) if as_rows else None
        step = STEP(statement, values, reader, waiter=_waiter(settings))
        return await _exchange(connection, settings, (*(first or ()), step), timeout)

    return await _prepared(connection, sql, values, query, own, run, settings)


async def status_with(connection: Any, settings: LocalSettings, sql: str, values: Sequence[object]) -> str:
    """Return the status of a statement that runs with settings in its round trip, as
    ``connection.execute(sql, *values)`` does without them.
    """
    limit = TimeLimit(connection)
    again = True
    while True:
        first, statement = await _prepared_pair(connection, settings, sql, limit)
        step = STEP(statement, values, drop_rows=True, waiter=_waiter(settings))
        try:
            with _logging(connection, sql, values, limit.left):
                await _exchange(connection, settings, (*first, step), limit.left)
        except exceptions.InvalidCachedStatementError:
            connection._drop_global_statement_cache()
            if not again:
                raise
            again = False
        else:
            status: str = step.status
            return status


async def _prepared_pair(
    connection: Any, settings: LocalSettings, sql: str, limit: TimeLimit
) -> tuple[tuple[Any, ...], Any]:
    """Return the steps of the settings and a statement, both prepared at the same time.

    While one is being prepared, another connection may find that its plans are out of date: then those of all
    connections are dropped, and closed by the next preparation.
    """
    while True:
        await prepare_settings(connection, settings, limit.left)
        statement = await connection._get_statement(sql, limit.left)
        if (first := ready_steps(connection, settings)) is not None:
            return first, statement


def _waiter(settings: LocalSettings | None) -> Any:
    """Return the waiter of the last step of a statement with settings; None if it needs none."""
    if settings is None or settings.following is None:
        return None
    return settings.following.waiter()


async def _exchange(
    connection: Any, settings: LocalSettings | None, steps: tuple[Any, ...], timeout: float | None
) -> list[Any]:
    """Send the steps of a statement, and the one that follows it. Return the rows of the last step.

    Raises its error.
    """
    if settings is None or settings.following is None:
        await connection._protocol.exchange(steps, timeout)
    else:
        await settings.following.exchange(connection, steps, timeout)
    step = steps[-1]
    if step.error is not None:
        raise step.error
    rows: list[Any] = step.rows
    return rows


async def run_steps(
    connection: Any,
    sql: str,
    sets: Sequence[Sequence[object]],
    query: CompiledQuery[Any, Any],
    limit: TimeLimit,
    *,
    own: int = 0,
    settings: LocalSettings | None = None,
    plan: Any = None,
    calls: int = 0,
    drop_rows: bool = False,
) -> list[Any]:
    """Run a statement for each set of values, all or none, in one round trip, and return the step of each,
    with its rows or records and its status. See `takes_steps`.

    The errors are those of ``connection.fetchmany``. The last ``own`` columns are not the query's.
    ``settings`` go in the same round trip. ``plan``: how rows are read. ``calls``: the last column is the
    number of one of so many calls. The sets are short enough for one write.
    """
    again = not connection.is_in_transaction()
    while True:
        if settings is not None:
            await prepare_settings(connection, settings, limit.left)
        statement = await prepare(connection, sql, query, own, limit.left)
        first: tuple[Any, ...] = ()
        if settings is not None:
            if (of_settings := ready_steps(connection, settings)) is None:
                continue  # see `_prepared_pair`
            first = of_settings
        reader = None if plan is None else reader_of(connection._protocol, statement, plan)
        if calls:
            reader = NUMBERED_READER(reader, calls)
        steps = [STEP(statement, values, reader, synced=False, drop_rows=drop_rows) for values in sets[:-1]]
        steps.append(STEP(statement, sets[-1], reader, drop_rows=drop_rows, waiter=_waiter(settings)))
        try:
            with _logging(connection, sql, sets, limit.left):
                await _exchange(connection, settings, (*first, *steps), limit.left)
        except exceptions.DataError as error:
            unfit = next((number for number, step in enumerate(steps) if step.is_unfit), None)
            if unfit is None:
                raise
            raise of_element(error, unfit) from error.__cause__
        except exceptions.OutdatedSchemaCacheError:
            await connection.reload_schema_state()
            raise
        except exceptions.InvalidCachedStatementError:
            connection._drop_global_statement_cache()
            if not again:
                raise
            again = False
        else:
            return steps


def takes_steps(connection: Any) -> bool:
    """Return whether `run_steps` can run statements on a connection: it has the compiled protocol, and keeps
    prepared statements.
    """
    return type(connection._protocol) is PROTOCOL and connection._config.statement_cache_size > 0


async def fetch_many(
    connection: Any,
    sql: str,
    sets: Sequence[Sequence[object]],
    query: CompiledQuery[Any, Any],
    own: int,
    timeout: float | None = None,
) -> list[Any]:
    """Run a statement for each set of values in one round trip and return all records in one list.

    As ``connection.fetchmany(sql, sets)``, without its detours. ``timeout``: seconds; None for the
    connection's time limit. The sets must be fewer than four, or take
    less than four times 32 kB on the wire. Beyond that asyncpg waits for the socket, and a caller that is
    cancelled there never returns.
    """
    if not PIPELINES_RETURN_ROWS:
        return await _one_by_one(connection, sql, sets, query, own)
    if not IS_KNOWN:
        return await _prepared(
            connection,
            sql,
            sets,
            query,
            own,
            lambda statement, limit_s: statement.fetchmany(sets, timeout=limit_s),
            timeout=timeout,
        )
    statement = ready(connection, sql, query)
    if statement is not None and not connection._query_loggers:
        try:
            records: list[Any] = await connection._protocol.bind_execute_many(
                statement, sets, "", timeout, True
            )
            return records
        except exceptions.OutdatedSchemaCacheError as error:
            await _learn_types(connection, query, error)
        except exceptions.InvalidCachedStatementError:
            connection._drop_global_statement_cache()
            if connection.is_in_transaction():
                raise
    return await _prepared(
        connection,
        sql,
        sets,
        query,
        own,
        lambda statement, limit_s: connection._protocol.bind_execute_many(statement, sets, "", limit_s, True),
        timeout=timeout,
    )


def _logging(
    connection: Any, sql: str, values: Sequence[Any], timeout: float | None
) -> AbstractContextManager[None]:
    """Return the context of a statement that reports it to the program's loggers of the connection."""
    if not connection._query_loggers:
        return nullcontext()
    context: AbstractContextManager[None] = connection._time_and_log(sql, values, timeout)
    return context


async def _prepared(
    connection: Any,
    sql: str,
    values: Sequence[Any],
    query: CompiledQuery[Any, Any],
    own: int,
    run: Callable[[Any, float | None], Awaitable[list[Any]]],
    settings: LocalSettings | None = None,
    timeout: float | None = None,
) -> list[Any]:
    """Prepare a statement and its settings' and run them, within one time limit for all: ``timeout``, or the
    connection's. ``values`` are for the program's loggers.
    """
    connection._check_open()  # a connection that has ended has no time limit any more
    limit = TimeLimit(connection, timeout)
    attempt = 0
    while True:
        attempt += 1
        if settings is not None:
            await prepare_settings(connection, settings, limit.left)
        statement = await prepare(connection, sql, query, own, limit.left)
        if settings is not None and ready_steps(connection, settings) is None:
            continue  # see `_prepared_pair`
        try:
            with _logging(connection, sql, values, limit.left):
                return await run(statement, limit.left)
        except exceptions.OutdatedSchemaCacheError as error:
            await _learn_types(connection, query, error)
            if attempt == _MAX_ATTEMPTS:
                raise
        except exceptions.InvalidCachedStatementError:
            # It was in the cache since before the tables changed, or they changed between the two steps.
            connection._drop_global_statement_cache()
            if attempt == _MAX_ATTEMPTS or connection.is_in_transaction():
                raise


async def _one_by_one(
    connection: Any,
    sql: str,
    sets: Sequence[Sequence[object]],
    query: CompiledQuery[Any, Any],
    own: int,
) -> list[Any]:
    """Run a statement for each set of values, a round trip for each."""
    found: list[Any] = []
    for number, values in enumerate(sets):
        try:
            found += await fetch(connection, sql, values, query, own)
        except exceptions.DataError as error:
            raised = of_element(error, number)
            if raised is error:
                raise
            raise raised from error.__cause__
    return found


def ready(connection: Any, sql: str, query: CompiledQuery[Any, Any]) -> Any:
    """Return a statement of a query that can be sent; None if it is to be prepared or compared first."""
    statement = connection._stmt_cache.get((sql, Record, False))
    # `is_compared`, written out: every call comes here.
    if statement is None or query not in connection.compared.get(statement, ()):
        return None
    if query.is_columnar and not has_columns(connection, statement, sql):
        return None
    return statement


async def _learn_types(connection: Any, query: CompiledQuery[Any, Any], error: BaseException) -> None:
    """Have a connection drop the types that it knows: one has changed, and a result could not be read.

    Raises ``DecodeError`` if the statement was executed and cannot be run again. In a transaction, which is
    rolled back, it raises the driver's error, and ``db.retry`` runs all of it again.
    """
    await connection.reload_schema_state()
    if not query.read_only:
        if connection.is_in_transaction():
            raise error
        raise DecodeError(
            f"{query.name}: a type in its result has changed since this connection learnt it",
            detail="the statement was executed, only its result could not be read",
            hint=f"generate again, if a type that {query.file} returns has changed",
        ) from None
