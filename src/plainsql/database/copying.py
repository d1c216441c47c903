"""COPY: rows into a table, and a query's answer into a file, as fast as PostgreSQL takes and gives them."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain, islice
from operator import length_hint
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
from asyncpg import exceptions

from plainsql.database.failure import explain, is_lost
from plainsql.errors import BindError
from plainsql.query import Args, Plan, Query, composite, elements

__all__ = ["CopyFormat", "Output", "Progress", "copy_in", "copy_out"]

Progress = Callable[[int], object]
"""Told how far a copy is: rows into a table, every `_EVERY` rows and at the end; bytes out of one, with each
part."""

CopyFormat = Literal["csv", "text", "binary"]

_EVERY = 1000

_ELEMENT = re.compile(r"in element #(\d+) of")

_TAKES_LISTS = frozenset({"json", "jsonb", "vector", "halfvec", "sparsevec"})


class Writable(Protocol):
    """A binary file, or what is like one."""

    def write(self, data: bytes, /) -> object: ...


Output = str | os.PathLike[str] | Writable | Callable[[bytes], Awaitable[object]]


async def copy_in(
    connection: Any,
    table: str,
    rows: Iterable[Any] | AsyncIterable[Any],
    columns: Sequence[str] | None,
    progress: Progress | None,
) -> int:
    """Copy rows into a table and return how many there were; all or none."""
    schema, dot, name = table.rpartition(".")
    first, all_rows = await _first_of(rows)
    if first is None:
        if progress is not None:
            progress(0)
        return 0
    if columns is None:
        if not isinstance(first, msgspec.Struct):
            raise BindError(
                f"copy into {table}: expected columns=, got rows that are {type(first).__name__}s",
                hint="pass structs, whose fields name the columns, or the names of the columns",
            )
        columns = first.__struct_fields__
    turn = await _turner(connection, table, first, columns)
    feed = _Feed(all_rows, turn, progress)
    try:
        if await connection.fetchval("select row_security_active($1)", _qualified(table)):
            await _insert(connection, table, columns, feed.records())
        else:
            await connection.copy_records_to_table(
                name, schema_name=schema if dot else None, columns=list(columns), records=feed.records()
            )
    except Exception as error:
        at = feed.taken
        if error is feed.failure or isinstance(error, exceptions.InterfaceError | OSError):
            raise
        if isinstance(error, exceptions.PostgresError):
            if getattr(error, "severity", None) is not None or is_lost(error):
                raise
            # Of the pipeline: it says which row of those that went together.
            element = _ELEMENT.search(str(error))
            at = (at - 1) // _EVERY * _EVERY + int(element[1]) + 1 if element else at
        raise BindError(
            f"copy into {table}: row {at}: a value does not fit its column",
            hint=f"the columns are {', '.join(columns)}",
        ) from None
    if progress is not None:
        progress(feed.taken)
    return feed.taken


class _Feed:
    """Rows on their way into a table: turned, counted, and told apart from what fails with them.

    What is there already is taken in parts that the driver walks through without a step of Python in between.
    """

    def __init__(
        self,
        rows: Iterable[Any] | AsyncIterable[Any],
        turn: Callable[[Any], Any],
        progress: Progress | None,
    ) -> None:
        self._rows = rows
        self._turn = turn
        self._progress = progress
        self._before = 0
        """Rows that were taken before this part."""
        self._part: Sequence[Any] = ()
        self._rest: Iterator[Any] = iter(())
        """Of the part, what is not taken yet."""
        self.failure: BaseException | None = None
        """What the giver of the rows raised, if it did."""

    @property
    def taken(self) -> int:
        return self._before + len(self._part) - length_hint(self._rest)

    def records(self) -> Iterator[Any] | AsyncIterator[Any]:
        rows = self._rows
        if isinstance(rows, AsyncIterable):
            return self._turned_as_they_come(rows)
        return chain.from_iterable(self._parts(iter(rows)))

    def _parts(self, rows: Iterator[Any]) -> Iterator[Iterator[Any]]:
        try:
            while part := list(islice(rows, _EVERY)):
                self._part, self._rest = part, iter(part)
                yield map(self._turn, self._rest)
                self._part, self._before = (), self._before + len(part)
                self._tell()
        except Exception as error:
            self.failure = error
            raise

    async def _turned_as_they_come(self, rows: AsyncIterable[Any]) -> AsyncIterator[Any]:
        try:
            async for row in rows:
                turned = self._turn(row)
                self._before += 1
                self._tell()
                yield turned
        except Exception as error:
            self.failure = error
            raise

    def _tell(self) -> None:
        if self._progress is not None and self._before % _EVERY == 0:
            self._progress(self._before)


async def _insert(
    connection: Any, table: str, columns: Sequence[str], records: Iterable[Any] | AsyncIterable[Any]
) -> None:
    """Insert rows in pipelines: PostgreSQL refuses COPY into a table whose policies are to be kept."""
    numbers = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    sql = f"insert into {_qualified(table)} ({', '.join(map(_quote, columns))}) values ({numbers})"
    chunk: list[Any] = []

    async def send() -> None:
        await connection.executemany(sql, chunk)
        chunk.clear()

    if isinstance(records, AsyncIterable):
        async for record in records:
            chunk.append(record)
            if len(chunk) == _EVERY:
                await send()
    else:
        for record in records:
            chunk.append(record)
            if len(chunk) == _EVERY:
                await send()
    await send()


async def copy_out(
    connection: Any,
    query: Query[..., Any, Any],
    args: Args,
    output: Output,
    copy_format: CopyFormat,
    header: bool,
    progress: Progress | None,
) -> int:
    """Copy a query's rows out and return how many there were. The connection is in a transaction."""
    plan, values = query.plan(args)
    sql = await _without_parameters(connection, query, plan, values)
    options = "" if copy_format == "binary" or not header else ", header true"
    written = 0
    taken = True
    async with _writer(output) as write:

        async def take(data: bytes) -> None:
            nonlocal written, taken
            taken = False
            await write(data)
            taken = True
            written += len(data)
            if progress is not None:
                progress(written)

        try:
            status = await connection._copy_out(
                f"copy (\n{sql}\n) to stdout (format {copy_format}{options})", take, None
            )
        except BaseException as error:
            if not taken:
                # The driver would wait for the end of what it has in its buffer already, and that for ever.
                connection.terminate()
            elif isinstance(error, Exception):
                # The position, where there is one, is of the text around the query.
                error.add_note(query.note(plan, None))
            raise
    return int(status.rpartition(" ")[2])


async def _without_parameters(connection: Any, query: Query[..., Any, Any], plan: Plan, values: Args) -> str:
    """Return the query's text with its parameters read from settings of this transaction, and set these.

    COPY takes no parameters, and no value is ever written into a text.
    """
    if not values:
        return plan.sql
    types = (await connection.prepare(plan.sql)).get_parameters()
    names = await connection.fetch(
        "select format_type(oid, -1) from unnest($1::oid[]) with ordinality as p (oid, n) order by n",
        [type_.oid for type_ in types],
    )
    calls = []
    expressions = {}
    for index, (name, (type_name,)) in enumerate(zip(plan.variant.parameters, names, strict=True), 1):
        # A setting is text and never null: the first letter says whether there is a value.
        value = f"coalesce('v' || (${index}::{type_name})::text, 'n')"
        calls.append(f"set_config('plainsql.parameter_{index}', {value}, true)")
        setting = f"current_setting('plainsql.parameter_{index}')"
        expressions[name] = (
            f"(case when starts_with({setting}, 'v') then substr({setting}, 2)::{type_name} end)"
        )
    try:
        await connection.fetch(f"select {', '.join(calls)}", *values)
    except Exception as error:
        explained = await explain(error, connection, query, plan, values)
        if explained is error:
            raise
        raise explained from None
    return plan.variant.substituted(expressions)


@asynccontextmanager
async def _writer(output: Output) -> AsyncIterator[Callable[[bytes], Awaitable[object]]]:
    if not isinstance(output, str | os.PathLike):
        file: Any = output
        if not hasattr(file, "write"):
            yield file
            return

        async def write_on(data: bytes) -> None:
            await asyncio.to_thread(file.write, data)

        yield write_on
        return
    whole = Path(output)
    part = whole.with_name(f"{whole.name}.part")
    opened = await asyncio.to_thread(part.open, "wb")

    async def write(data: bytes) -> None:
        await asyncio.to_thread(opened.write, data)

    try:
        with opened:
            yield write
        part.replace(whole)
    finally:
        part.unlink(missing_ok=True)


async def _turner(connection: Any, table: str, first: Any, columns: Sequence[str]) -> Callable[[Any], Any]:
    """Find what turns a row into the tuple that the driver takes."""
    is_struct = isinstance(first, msgspec.Struct)
    quoted = ", ".join(_quote(column) for column in columns)
    described = await connection.prepare(f"select {quoted} from {_qualified(table)}")
    # A list among the elements of an array of JSON values or vectors is one element.
    arrays = [
        index
        for index, attribute in enumerate(described.get_attributes())
        if attribute.type.kind == "array"
        and attribute.type.name.removesuffix("[]").lstrip("_") in _TAKES_LISTS
    ]
    composites = [
        index
        for index, attribute in enumerate(described.get_attributes())
        if attribute.type.kind in ("array", "composite") and index not in arrays
    ]
    if not arrays and not composites:
        return msgspec.structs.astuple if is_struct else _same

    def turn(row: Any) -> tuple[Any, ...]:
        values = list(msgspec.structs.astuple(row) if is_struct else row)
        for index in arrays:
            values[index] = elements(values[index])
        for index in composites:
            values[index] = composite(values[index])
        return tuple(values)

    return turn


def _same(row: Any) -> Any:
    return row


def _qualified(table: str) -> str:
    schema, dot, name = table.rpartition(".")
    return (_quote(schema) + dot if dot else "") + _quote(name)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def _first_of(
    rows: Iterable[Any] | AsyncIterable[Any],
) -> tuple[Any, Iterable[Any] | AsyncIterable[Any]]:
    """Look at the first row, and return it with all of them."""
    if isinstance(rows, AsyncIterable):
        iterator = aiter(rows)
        first = await anext(iterator, None)

        async def again() -> AsyncIterator[Any]:
            if first is not None:
                yield first
            async for row in iterator:
                yield row

        return first, again()
    plain = iter(rows)
    first = next(plain, None)
    return first, () if first is None else chain((first,), plain)
