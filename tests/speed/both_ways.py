"""One statement read both ways: straight from the messages, and through the driver's records."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import asyncpg
import msgspec
import pytest

from plainsql.database.pool.codecs import Codecs
from plainsql.database.pool.resettable_connection import ResettableConnection
from plainsql.query import Binder, ManyQuery, QueryFacts
from plainsql.speed.loaded import CONNECT, MAKE_READER
from plainsql.speed.row_plan import row_plan

FACTS = QueryFacts()

_MAKE_READER: Any = MAKE_READER
_ROWS: Any = import_module("plainsql.speed._rows") if MAKE_READER is not None else None


def read_message(reader: Any, message: bytes, times: int = 1) -> Any:
    """Read a message a number of times, and return its row."""
    return _ROWS.read_message(reader, message, times)


class BothWays:
    """A connection whose rows are read both ways."""

    def __init__(self, runner: asyncio.Runner, connection: Any) -> None:
        self.runner = runner
        self.connection = connection

    def need(self, type_name: str) -> None:
        """Skip the test if the server does not have a type."""
        if self.runner.run(self.connection.fetchval("select to_regtype($1::text)::text", type_name)) is None:
            pytest.skip(f"this server has no {type_name}")

    def rows(self, sql: str, item: Any, *values: object, facts: QueryFacts = FACTS) -> list[Any]:
        """Return the rows after asserting that both ways make the same ones."""
        read, built = self.outcomes(sql, item, *values, facts=facts)
        assert isinstance(built, list), built
        assert isinstance(read, list), read
        assert len(read) == len(built)
        for one, other in zip(read, built, strict=True):
            assert_same(one, other)
        return read

    def error(self, sql: str, item: Any, *values: object, facts: QueryFacts = FACTS) -> Exception:
        """Return the error after asserting that both ways raise the same one."""
        read, built = self.outcomes(sql, item, *values, facts=facts)
        assert isinstance(built, Exception), built
        assert isinstance(read, Exception), read
        assert type(read) is type(built)
        assert read.args == built.args
        assert vars(read) == vars(built)
        return read

    def outcomes(
        self, sql: str, item: Any, *values: object, facts: QueryFacts = FACTS
    ) -> tuple[list[Any] | Exception, list[Any] | Exception]:
        """Return what is read straight from the messages, and what is built of the records."""
        outcomes = self._outcomes(sql, compiled(sql, item, facts), values)
        return self.runner.run(outcomes, context=contextvars.copy_context())

    def messages(
        self, sql: str, item: Any, *values: object, facts: QueryFacts = FACTS
    ) -> tuple[Any, list[bytes]]:
        """Return the reader of a query's rows, and the messages of its rows."""
        query = compiled(sql, item, facts)
        statement = self.runner.run(self._statement(sql))
        sent = self.connection._protocol.fetch_rows(statement, values, _ROWS.MessageReader(), None)
        return _MAKE_READER(row_plan(query), statement), self.runner.run(sent)

    async def _statement(self, sql: str) -> Any:
        # Its description is not compared: what does not fit is a test of the reader here.
        return await self.connection._get_statement(sql, None)

    async def _outcomes(self, sql: str, query: Any, values: Sequence[object]) -> tuple[Any, Any]:
        statement = await self._statement(sql)
        plan: Any = row_plan(query)
        protocol = self.connection._protocol
        outcomes = []
        for reader, build in (
            (_MAKE_READER(plan, statement), plan.finish or (lambda rows: rows)),
            (None, query.build),
        ):
            try:
                outcomes.append(build(await protocol.fetch_rows(statement, values, reader, None)))
            except Exception as error:  # noqa: BLE001 (whichever it is, they are compared)
                outcomes.append(error)
        return outcomes[0], outcomes[1]


def compiled(sql: str, item: Any, facts: QueryFacts) -> Any:
    """Return a query of many rows, or of many values, as executors run it."""
    bind = Binder((), {}, {}, None)
    return ManyQuery[..., Any]("test.speed.rows", "sql/rows.sql", 1, sql, bind, item, facts).compiled


def assert_same(one: Any, other: Any) -> None:
    """Assert that two values are the same, with the types of all that is in them."""
    assert type(one) is type(other)
    parts, other_parts = _parts(one), _parts(other)
    if parts is None or other_parts is None:
        # Zeros of both signs, NaN, decimals and zones of times differ in their texts.
        assert repr(one) == repr(other)
        return
    assert len(parts) == len(other_parts)
    for part, other_part in zip(parts, other_parts, strict=True):
        assert_same(part, other_part)


def _parts(value: Any) -> Sequence[Any] | None:
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.astuple(value)
    if isinstance(value, msgspec.Raw):
        return [bytes(value)]
    if isinstance(value, asyncpg.Path):
        return (value.is_closed, *value)
    if isinstance(value, asyncpg.Range):
        return (value.lower, value.upper, value.lower_inc, value.upper_inc, value.isempty)
    if isinstance(value, dict):
        return tuple(value.items())
    return tuple(value) if isinstance(value, list | tuple | asyncpg.Record) else None


@contextmanager
def both_ways(url: str, schema: str = "") -> Iterator[BothWays]:
    """Connect to a database as the pool does, after running ``schema`` in it."""
    with asyncio.Runner() as runner:

        async def connect() -> Any:
            made = await CONNECT(url, connection_class=ResettableConnection)
            if schema:
                await made.execute(schema)
            await Codecs().install(made)
            return made

        connection = runner.run(connect())
        try:
            yield BothWays(runner, connection)
        finally:
            runner.run(connection.close())
