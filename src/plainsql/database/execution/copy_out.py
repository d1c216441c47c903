"""COPY of a query's rows into a file, an object with ``write`` or a function."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from plainsql.copy_output import CopyFormat, Writable, arguments_of, mode_of, write_all
from plainsql.copy_rows import Progress
from plainsql.database.execution.errors import add_query_note, explain
from plainsql.database.execution.nul_characters import refuse_nul
from plainsql.database.execution.own_settings import locally
from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.files import replace_file
from plainsql.query import Args, CompiledQuery, QueryText

__all__ = ["CopyFormat", "CopyOut", "Output", "arguments_of"]

Output = str | os.PathLike[str] | Writable | Callable[[bytes], Awaitable[object]]


class CopyOut:
    """The copy of a query's rows to an output. It can run again, on another connection."""

    __slots__ = (
        "_args",
        "_copy_format",
        "_has_delivered",
        "_header",
        "_is_file",
        "_output",
        "_progress",
        "_query",
    )

    def __init__(
        self,
        query: CompiledQuery[Any, Any],
        args: Args,
        output: Output,
        copy_format: CopyFormat,
        header: bool,
        progress: Progress | None,
    ) -> None:
        self._query = query
        self._args = args
        self._output = output
        self._copy_format = copy_format
        self._header = header
        self._progress = progress
        self._is_file = isinstance(output, str | os.PathLike)
        self._has_delivered = False

    @property
    def may_begin_again(self) -> bool:
        """True while the caller has nothing of it. A file is in its place when it is complete."""
        return not self._has_delivered

    async def __call__(self, connection: Any, *, admit: Callable[[], object] | None = None) -> int:
        """Copy the rows out and return how many there were. The connection is in a transaction.

        ``admit``: called when the server has begun to answer, before the output gets anything. An error that
        it raises ends the copy, and the connection.
        """
        query = self._query
        text, values = query.text(self._args)
        sql = await _without_parameters(connection, query, text, values)
        options = "" if self._copy_format == "binary" or not self._header else ", header true"
        written = 0
        is_admitted = admit is None
        taken = True
        async with _writer(self._output) as write:

            async def take(data: bytes) -> None:
                nonlocal written, taken, is_admitted
                taken = False
                if admit is not None and not is_admitted:
                    admit()
                    is_admitted = True
                # A failure of the output is the caller's, whatever its class is.
                self._has_delivered = True
                await write(data)
                taken = True
                written += len(data)
                if self._progress is not None:
                    self._progress(written)
                self._has_delivered = not self._is_file

            try:
                async with locally(connection, query, text.settings):
                    status = await connection._copy_out(
                        f"copy (\n{sql}\n) to stdout (format {self._copy_format}{options})", take, None
                    )
                if admit is not None and not is_admitted:
                    admit()
            except BaseException as error:
                if not taken:
                    # The driver would wait for ever for the end of what it has in its buffer already.
                    connection.terminate()
                elif isinstance(error, Exception):
                    # The position, if there is one, counts in the text around the query.
                    add_query_note(error, query, text)
                raise
        return int(status.rpartition(" ")[2])


async def _without_parameters(
    connection: Any, query: CompiledQuery[Any, Any], text: QueryText, values: Args
) -> str:
    """Return the query's text with its parameters read from settings of this transaction, and set these.

    COPY takes no parameters, and no value is ever written into a text.
    """
    if not values:
        return text.sql
    types = (await connection.prepare(text.sql)).get_parameters()
    names = await connection.fetch(
        "select format_type(oid, -1) from unnest($1::oid[]) with ordinality as p (oid, n) order by n",
        [type_.oid for type_ in types],
    )
    calls = []
    expressions = {}
    for index, (name, (type_name,)) in enumerate(zip(text.variant.parameters, names, strict=True), 1):
        # A setting is a text and never null: the first letter says whether there is a value.
        value = f"coalesce('v' || (${index}::{type_name})::text, 'n')"
        calls.append(f"set_config('plainsql.parameter_{index}', {value}, true)")
        setting = f"current_setting('plainsql.parameter_{index}')"
        expressions[name] = (
            f"(case when starts_with({setting}, 'v') then substr({setting}, 2)::{type_name} end)"
        )
    await refuse_nul(connection, query, text, values)
    try:
        await connection.fetch(f"select {', '.join(calls)}", *values)
    except Exception as error:
        explained = await explain(error, connection, query, text, values)
        if explained is error:
            raise
        raise explained from None
    return text.variant.substituted(expressions)


@asynccontextmanager
async def _writer(output: Output) -> AsyncIterator[Callable[[bytes], Awaitable[object]]]:
    if isinstance(output, str | os.PathLike):
        path = Path(output)
        # Not in a thread: if it were cancelled while it makes the file, the file would stay.
        with replace_file(path, mode=mode_of(path)) as file:
            yield _in_thread(file)
    elif hasattr(output, "write"):
        yield _in_thread(output)
    else:
        function: Any = output
        yield function


def _in_thread(file: Any) -> Callable[[bytes], Awaitable[object]]:
    async def write(data: bytes) -> None:
        await asyncio.to_thread(write_all, file, data)

    return write
