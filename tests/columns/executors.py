"""Three executors of one database: rows are read in three ways, and their columns must be the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg

import plainsql
from plainsql import sync
from plainsql.columns import Columns
from plainsql.columns.array_data import ArrayData
from plainsql.query import Binder, ManyQuery, QueryFacts
from tests.types.both import Both


def query(sql: str, *names: str, item: Any = None, **facts: Any) -> ManyQuery[..., Any]:
    """A query of rows that was loaded: its row type is made of the server's description."""
    return ManyQuery(
        "test.rows",
        "sql/test/rows.sql",
        1,
        sql,
        Binder(names, {}, {}, "Thing"),
        item,
        QueryFacts(read_only=True, session_clean=True, **facts),
    )


def content(data: ArrayData) -> ArrayData:
    """An array with its buffers as bytes."""
    return data._replace(
        buffers=tuple(None if buffer is None else bytes(buffer) for buffer in data.buffers),
        children=tuple(map(content, data.children)),
        dictionary=None if data.dictionary is None else content(data.dictionary),
    )


def contents(columns: Columns) -> list[ArrayData]:
    return [content(column._data) for column in columns]


class Executors:
    """A database with the compiled part, if it is in use, a guest of asyncpg's records, and psycopg."""

    def __init__(
        self,
        runner: asyncio.Runner,
        db: plainsql.Database,
        guest: Any,
        over_psycopg: sync.Database,
    ) -> None:
        self.runner = runner
        self.db = db
        self.guest = guest
        self.sync = over_psycopg

    def columns(self, sql: str, **parameters: object) -> Columns:
        """Run a query on all, assert that the buffers are the same, and return the database's columns."""
        asked = query(sql, *parameters)
        found: Columns = self.runner.run(asked.columns(self.db, **parameters))
        for other in (
            self.runner.run(asked.columns(self.guest, **parameters)),
            asked.columns(self.sync, **parameters),
        ):
            assert contents(other) == contents(found)
            assert len(other) == len(found)
        return found

    def rows(self, sql: str, **parameters: object) -> list[Any]:
        rows: list[Any] = self.runner.run(query(sql, *parameters)(self.db, **parameters))
        return rows

    def error(self, sql: str) -> Exception:
        """Return the error that the columns of a query raise: the same on all."""
        asked = query(sql)
        errors: list[Exception] = []
        for call in (
            lambda: self.runner.run(asked.columns(self.db)),
            lambda: self.runner.run(asked.columns(self.guest)),
            lambda: asked.columns(self.sync),
        ):
            try:
                answer = call()
            except plainsql.PlainsqlError as error:
                errors.append(error)
            else:
                raise AssertionError(f"expected an error, got {answer!r}")
        first, second, _ = errors
        assert (type(first), str(first)) == (type(second), str(second))
        assert type(errors[2]) is type(first), errors[2]
        return first


@contextmanager
def executors_of(both: Both, url: str) -> Iterator[Executors]:
    connection = both.runner.run(asyncpg.connect(url))
    try:
        yield Executors(both.runner, both.over_asyncpg, plainsql.over(connection), both.over_psycopg)
    finally:
        both.runner.run(connection.close())
