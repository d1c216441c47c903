"""Batches: one query for many sets of parameters, in one round trip if possible.

Reads go as pipelines or as batched statements, writes as pipelines. With the compiled part a pipeline is a
step for each set, all of them in one implicit transaction: the rows of each are known by its step. A query
that returns one row for each set is still counted by the server, before anything is committed. So such a
write, and without the compiled part each write, is sent with the number of its set::

    with plainsql_write as (
      insert into … returning …
    )
    select plainsql_write.*, $4::int4 from plainsql_write

So every row names its set, and the server itself counts. A set with too few rows or too many fails, and all
others with it, before anything is committed.

More than asyncpg sends in one piece goes as several pipelines in a transaction. Between pieces asyncpg waits
for the socket, and there neither a cancellation nor the loss of the connection ends it.
"""

from __future__ import annotations

import re
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from time import perf_counter
from typing import Any, TypeVar

from asyncpg import exceptions

from plainsql.database.execution import driver
from plainsql.database.execution.asyncpg_version import PIPELINES_RETURN_ROWS
from plainsql.database.execution.errors import add_query_note, explain, is_lost
from plainsql.database.execution.forms import Form, Forms
from plainsql.database.execution.nul_characters import nul_refused, nuls_in, refuse_nul
from plainsql.database.execution.own_settings import locally
from plainsql.database.execution.pipelined_statement import (
    PipelinedStatement,
    Values,
    fitting,
    is_one_piece,
    pieces,
    unfit_call,
)
from plainsql.database.execution.prepared_statements import prepare
from plainsql.database.execution.savepoint import aborting, atomic
from plainsql.database.execution.statement import EXPLAINED, affected, execute
from plainsql.database.execution.time_limit import TimeLimit
from plainsql.database.pool.tenant_settings import LocalSettings
from plainsql.errors import BindError, ContractError, NoRowError, TooManyRowsError
from plainsql.query import Args, CompiledQuery, QueryText
from plainsql.query.parameter_sets import error_of_set

__all__ = [
    "divide",
    "execute_many",
    "pipelined_sql",
    "read_many",
    "run_batch",
    "write_many",
    "write_pipelined",
]

R = TypeVar("R")
T = TypeVar("T")

_MAX_CHUNK = 1000
"""The most reads in one statement: its whole result is in memory."""

_MAX_STATEMENT_S = 0.02
"""The most seconds that a statement for several reads should take: the connection's time limit is for one."""

_FIRST_CHUNK = 100
"""The number of reads that go together at first, while their cost is not known."""

# A statement with a `with` of its own cannot be part of ours: PostgreSQL allows writes only in the outermost
# one. If the word is in a comment, that costs speed, not correctness.
_WRITE = re.compile(r"\s*(?:--[^\n]*\n\s*)*(insert|update|delete|merge)\b", re.IGNORECASE)
_WITH = re.compile(r"\bwith\b", re.IGNORECASE)
_RETURNING = re.compile(r"\breturning\b", re.IGNORECASE)

_MISCOUNTED = re.compile(r"plainsql set (\d+): (\d+) rows")


async def run_batch(
    connection: Any, query: CompiledQuery[Any, R], sets: Sequence[Args], *, own: bool = False
) -> list[R]:
    """Run a query once for each set of arguments and return the results in the order of the sets.

    The connection is in a transaction, so that either all writes are done or none. If the transaction is the
    batch's ``own``, an error ends it; in another's, the batch is undone.
    """
    runs = divide(query, sets)
    if not own:
        await _refuse_nul(connection, query, runs)
    results: list[R] = []
    number = 1
    async with _whole(connection, query, runs, own=own):
        for text, values in runs:
            async with locally(connection, query, text.settings):
                if query.needs_columns or len(values) == 1:
                    results += await _one_by_one(connection, query, text, values, number)
                elif query.read_only:
                    forms = Forms(query, text, by_key=query.by_key)
                    results += await read_many(connection, query, text, values, forms, number)
                elif (sql := pipelined_sql(query, text, steps=driver.takes_steps(connection))) is not None:
                    results += await write_pipelined(connection, query, text, values, sql, number)
                else:
                    results += await _one_by_one(connection, query, text, values, number)
            number += len(values)
    return results


def _whole(
    connection: Any,
    query: CompiledQuery[Any, Any],
    runs: Sequence[tuple[QueryText, list[Values]]],
    *,
    own: bool,
) -> AbstractAsyncContextManager[None]:
    """Return the context in which a batch is done as a whole, or undone."""
    if own or query.read_only or not runs:
        return nullcontext()
    if not _is_one_statement(query, runs, steps=driver.takes_steps(connection)):
        return atomic(connection)
    # An error of the server aborts the transaction, and so does a result that cannot be read. A refused value
    # was not sent.
    return aborting(connection, lambda error: not isinstance(error, BindError | ContractError))


async def execute_many(
    connection: Any, query: CompiledQuery[Any, Any], sets: Sequence[Args], *, own: bool = False
) -> None:
    """Run a query once for each set of arguments as a pipeline, and drop the results.

    The connection is in a transaction, which is the batch's ``own`` or another's, as for `run_batch`.
    """
    runs = divide(query, sets)
    if not own:
        await _refuse_nul(connection, query, runs)
    number = 1
    in_one = query.read_only or (len(runs) == 1 and is_one_piece(runs[0][1]))
    async with nullcontext() if own or in_one else atomic(connection):
        for text, values in runs:
            async with locally(connection, query, text.settings):
                await write_many(connection, query, text, values, number)
            number += len(values)


async def _refuse_nul(
    connection: Any, query: CompiledQuery[Any, Any], runs: Sequence[tuple[QueryText, list[Values]]]
) -> None:
    """Raise ``BindError`` for a text with a NUL: the server's refusal would abort the transaction."""
    number = 0
    for text, values in runs:
        for one in values:
            number += 1
            if not nuls_in(one):
                continue
            try:
                await refuse_nul(connection, query, text, one)
            except BindError as error:
                raise error_of_set(query.name, number, error) from None


def _is_one_statement(
    query: CompiledQuery[Any, Any], runs: Sequence[tuple[QueryText, list[Values]]], *, steps: bool
) -> bool:
    """Return whether the sets run in one round trip."""
    [(text, values), *more] = runs
    if len(values) == 1 or more:
        return not more
    sql = None if query.needs_columns else pipelined_sql(query, text, steps=steps)
    return sql is not None and is_one_piece(values)


async def _one_by_one(
    connection: Any,
    query: CompiledQuery[Any, R],
    text: QueryText,
    values: Sequence[Values],
    first: int,
    settings: LocalSettings | None = None,
) -> list[R]:
    """Run a query for each set of values. The numbers of the sets begin with ``first``."""
    results: list[R] = []
    for number, one in enumerate(values, first):
        try:
            results.append(await execute(connection, query, text, one, settings))
        except BindError as error:
            raise error_of_set(query.name, number, error) from None
    return results


def divide(query: CompiledQuery[Any, Any], sets: Sequence[Args]) -> list[tuple[QueryText, list[Values]]]:
    """Divide the sets into runs of the same text, in their order."""
    runs: list[tuple[QueryText, list[Values]]] = []
    for args in sets:
        text, values = query.text(args)
        if not runs or runs[-1][0] is not text:
            runs.append((text, []))
        runs[-1][1].append(values)
    return runs


async def read_many(
    connection: Any,
    query: CompiledQuery[Any, R],
    text: QueryText,
    values: Sequence[Values],
    forms: Forms,
    first: int = 1,
    settings: LocalSettings | None = None,
) -> list[R]:
    """Run a read for each set of values, in few statements, and return the results in order.

    The numbers of the sets, for errors, begin with ``first``. ``settings`` go with each of the statements.
    """
    results: list[R] = []
    while len(results) < len(values):
        rest = values[len(results) :]
        form = forms.choose(len(rest)) if len(rest) > 1 else None
        known = form is not None and form.cost.known
        most = (
            min(_MAX_CHUNK, forms.most(form, _MAX_STATEMENT_S))
            if form is not None and known
            else _FIRST_CHUNK
        )
        if isinstance(form, PipelinedStatement):
            most = fitting(rest[:most], most)
        number = first + len(results)
        if form is None or most == 1:
            results += await _one_by_one(connection, query, text, rest[:1], number, settings)
        else:
            results += await _read_chunk(connection, query, text, rest[:most], form, number, settings)
    return results


async def _read_chunk(
    connection: Any,
    query: CompiledQuery[Any, R],
    text: QueryText,
    values: Sequence[Values],
    form: Form,
    first: int,
    settings: LocalSettings | None,
) -> list[R]:
    found: list[list[Any]] | None = None
    is_built = False
    began = perf_counter()
    try:
        if not driver.takes_steps(connection):
            found = await form.fetch(connection, values)  # and the session has the settings
        elif isinstance(form, PipelinedStatement):
            is_built = query.plan is not None
            limit = TimeLimit(connection)
            steps = await driver.run_steps(
                connection, text.sql, values, query, limit, settings=settings, plan=query.plan
            )
            found = [step.rows for step in steps]
        elif form.plan is not None:
            is_built = True
            found = await form.fetch_rows(connection, values, settings)
        else:
            found = await form.fetch(connection, values, settings)
        form.cost.record(perf_counter() - began, len(values), 1)
    except EXPLAINED as error:
        if not isinstance(form, PipelinedStatement):
            form.forget()
        unsent = isinstance(error, exceptions.PostgresError) and getattr(error, "severity", None) is None
        if is_lost(error) or isinstance(error, OSError):
            raise
        if isinstance(error, TimeoutError) and connection.is_closed():
            raise
        if connection.is_in_transaction() and not unsent:
            # The position counts in the text around the query.
            add_query_note(error, query, text)
            raise
    if found is None:
        # One by one, until the set that is to blame raises its error.
        return await _one_by_one(connection, query, text, values, first, settings)
    return _results(query, found, is_built=is_built)


def _results(query: CompiledQuery[Any, R], found: Sequence[list[Any]], *, is_built: bool) -> list[R]:
    """Return the results of calls from the rows of each, or from the records."""
    if not is_built:
        return [query.result(records) for records in found]
    finish = query.plan.finish
    return [query.result_of(rows if finish is None else finish(rows)) for rows in found]


def pipelined_sql(query: CompiledQuery[Any, Any], text: QueryText, *, steps: bool) -> str | None:
    """Return the text of a write with the number of its set, or None if the write cannot be part of it.

    It takes one more argument: the number, from 1. With ``steps`` a query for which any number of rows is
    right needs no number: its own text is returned.
    """
    if steps and query.kind in {"many", "count"}:
        return text.sql
    begins = _WRITE.match(text.sql)
    if begins is None or _WITH.search(text.sql):
        return None
    number = f"${len(text.variant.parameters) + 1}::int4"
    sql = text.sql
    columns = "plainsql_write.*"
    source = "plainsql_write"
    if query.kind == "count":
        if _RETURNING.search(sql) or begins[1].lower() == "merge":  # in PostgreSQL 16 it has no `returning`
            return None
        sql += "\nreturning 1"
        columns = "count(*)"
    elif query.kind != "many":
        right, join = ("= 1", "left") if query.kind == "one" else ("<= 1", "inner")
        source = (
            f"(select case when count(*) {right} then {number}"
            # Casting a text that is not a number is the shortest way for SQL to raise an error with data in
            # it.
            f" else ('plainsql set ' || {number} || ': ' || count(*) || ' rows')::int4 end as n"
            f" from plainsql_write) as plainsql_count {join} join plainsql_write on true"
        )
        number = "plainsql_count.n"
    return f"with plainsql_write as (\n{sql}\n)\nselect {columns}, {number} from {source}"


async def write_pipelined(
    connection: Any,
    query: CompiledQuery[Any, R],
    text: QueryText,
    values: Sequence[Values],
    sql: str,
    first: int = 1,
    settings: LocalSettings | None = None,
) -> list[R]:
    """Run a write for each set of values, all or none. ``sql`` is the text of `pipelined_sql`.

    In one round trip if the values are one piece, with the ``settings`` in it; else the connection is in a
    transaction. The numbers of the sets begin with ``first``.
    """
    if driver.takes_steps(connection):
        return await _write_steps(connection, query, text, values, sql, first, settings)
    limit = TimeLimit(connection)
    records: list[Any] = []

    async def write(piece: Sequence[Values], number: int) -> None:
        numbered = [(*one, n) for n, one in enumerate(piece, number)]
        if PIPELINES_RETURN_ROWS:
            found = await driver.fetch_many(connection, sql, numbered, query, 1, limit.left)
        else:  # all or none: our own method begins a transaction
            await prepare(connection, sql, query, 1, limit.left)
            found = await connection.fetchmany(sql, numbered, timeout=limit.left)
        records.extend(found)

    for at, piece in pieces(values):
        await _explained(connection, query, text, piece, first + at, write(piece, first + at))
    if query.kind == "count":
        return [record[0] for record in records]
    if query.kind == "one":  # the server has counted the rows
        return query.build([record[:-1] for record in records])
    found: list[list[Any]] = [[] for _ in values]
    for record in records:
        found[record[-1] - first].append(record[:-1])
    return [query.result(rows) for rows in found]


async def _write_steps(
    connection: Any,
    query: CompiledQuery[Any, R],
    text: QueryText,
    values: Sequence[Values],
    sql: str,
    first: int,
    settings: LocalSettings | None,
) -> list[R]:
    """Run a write for each set of values, each as a step of its own."""
    limit = TimeLimit(connection)
    own = 0 if sql is text.sql else 1
    plan = None if query.kind == "count" else query.plan
    if own and plan is not None:
        plan = plan.with_more() if plan.columns is not None else None
    steps: list[Any] = []

    async def write(piece: Sequence[Values], number: int) -> None:
        sets = [(*one, n) for n, one in enumerate(piece, number)] if own else piece
        steps.extend(
            await driver.run_steps(
                connection,
                sql,
                sets,
                query,
                limit,
                own=own,
                settings=settings,
                plan=plan,
                drop_rows=query.kind == "count",
            )
        )

    for at, piece in pieces(values):
        await _explained(connection, query, text, piece, first + at, write(piece, first + at))
    if query.kind == "count":
        return [affected(step.status) for step in steps]  # type: ignore[misc]
    if own and plan is None:
        return [query.result([record[:-1] for record in step.rows]) for step in steps]
    return _results(query, [step.rows for step in steps], is_built=plan is not None)


async def write_many(
    connection: Any,
    query: CompiledQuery[Any, Any],
    text: QueryText,
    values: Sequence[Values],
    first: int = 1,
    settings: LocalSettings | None = None,
) -> None:
    """Run a query for each set of values, all or none, as `write_pipelined` does, and drop the results."""
    limit = TimeLimit(connection)
    for at, piece in pieces(values):
        work: Coroutine[Any, Any, object]
        if settings is None:
            work = connection.executemany(text.sql, piece, timeout=limit.left)
        else:
            work = driver.run_steps(
                connection, text.sql, piece, query, limit, settings=settings, drop_rows=True
            )
        await _explained(connection, query, text, piece, first + at, work)


async def _explained(
    connection: Any,
    query: CompiledQuery[Any, Any],
    text: QueryText,
    values: Sequence[Values],
    first: int,
    work: Coroutine[Any, Any, T],
) -> T:
    try:
        return await work
    except EXPLAINED as error:
        if isinstance(error, exceptions.InvalidTextRepresentationError):
            miscounted = _MISCOUNTED.search(str(error))
            if miscounted is not None:
                raise _row_count_error(query, *map(int, miscounted.groups())) from None
        element = unfit_call(error)
        if isinstance(error, exceptions.CharacterNotInRepertoireError):
            for number, one in enumerate(values, first):
                if (refusal := nul_refused(error, connection, query, text, one)) is not None:
                    raise error_of_set(query.name, number, refusal) from None
        if isinstance(error, exceptions.PostgresError) and element is None:
            # The server's error: its position, if it has one, counts in the text around the query.
            add_query_note(error, query, text)
            raise
        explained = await explain(error, connection, query, text, values[element or 0])
        if explained is error:
            raise
        if element is not None and isinstance(explained, BindError):
            explained = error_of_set(query.name, first + element, explained)
        raise explained from None


def _row_count_error(
    query: CompiledQuery[Any, Any], number: int, found: int
) -> NoRowError | TooManyRowsError:
    wanted = "exactly one row" if query.kind == "one" else "at most one row"
    message = f"{query.name}: expected {wanted} for each set of parameters, got {found} for set {number}"
    kind = "optional" if not found else "many"
    error = NoRowError if not found else TooManyRowsError
    return error(message, hint=f"declare 'returns: {kind} …' in {query.file} where that is an answer")
