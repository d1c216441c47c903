"""Both executors on one database: a query must return the same on asyncpg and on psycopg."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import asyncpg
import psycopg

import plainsql
from plainsql import sync
from plainsql.query import Binder, OneQuery


def query(sql: str, *, item: Any = None) -> OneQuery[..., Any]:
    """A query of one value, its parameters in the order ``a``, ``b``, ``c``; its type is the server's."""
    names = [name for name in "abc" if f":{name}" in sql.replace("::", "")]
    return OneQuery("test.types.value", "sql/test/types/value.sql", 3, sql, Binder(names, {}, {}, None), item)


class Both:
    """Two executors of one database: every query runs on both."""

    def __init__(
        self, runner: asyncio.Runner, over_asyncpg: plainsql.Database, over_psycopg: sync.Database
    ) -> None:
        self.runner = runner
        self.over_asyncpg = over_asyncpg
        self.over_psycopg = over_psycopg

    def value(self, sql: str, *, item: Any = None, **parameters: object) -> Any:
        """Run a query of one value on both, assert that the results are the same, and return it."""
        asked = query(sql, item=item)
        first = self.runner.run(asked(self.over_asyncpg, **parameters))
        second = asked(self.over_psycopg, **parameters)
        assert same(first, second), f"asyncpg: {first!r}, psycopg: {second!r}"
        return first

    def sent_back(self, type_name: str, value: object) -> Any:
        """Send a value as a parameter of a type and read it back."""
        return self.value(f"select :a::{type_name}", a=value)

    def round_trip(self, type_name: str, value: object) -> None:
        """Assert that both return a value as it was sent."""
        back = self.sent_back(type_name, value)
        assert same(back, value), f"sent {value!r}, got {back!r}"

    def read(self, literal: str, type_name: str) -> Any:
        """Read a literal of the server's."""
        return self.value(f"select {literal}::{type_name}")

    def errors(self, sql: str, **parameters: object) -> tuple[BaseException, BaseException]:
        """Return the errors of a query that must fail on both: asyncpg's, psycopg's."""
        asked = query(sql)
        try:
            answer: object = self.runner.run(asked(self.over_asyncpg, **parameters))
        except Exception as error:  # noqa: BLE001 (whichever it is, the test looks at it)
            first = error
        else:
            raise AssertionError(f"asyncpg answers {answer!r}")
        try:
            answer = asked(self.over_psycopg, **parameters)
        except Exception as error:  # noqa: BLE001
            return first, error
        raise AssertionError(f"psycopg answers {answer!r}")

    def refusals(self, sql: str, **parameters: object) -> str:
        """Return the first line of the ``BindError`` that both raise."""
        first, second = self.errors(sql, **parameters)
        assert isinstance(first, plainsql.BindError), repr(first)
        assert isinstance(second, plainsql.BindError), repr(second)
        assert first.message == second.message
        return first.message


def same(one: Any, other: Any) -> bool:
    """Return whether two values are the same, with their types; NaN is the same as NaN."""
    if isinstance(one, uuid.UUID) and isinstance(other, uuid.UUID):  # asyncpg's is a class of its own
        return one == other
    if isinstance(one, asyncpg.Record):
        one = tuple(one)
    if isinstance(other, asyncpg.Record):
        other = tuple(other)
    if isinstance(one, asyncpg.Circle) and isinstance(other, asyncpg.Circle):
        return tuple(one.center) == tuple(other.center) and same(one.radius, other.radius)
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return repr(one) == repr(other)
    if isinstance(one, Decimal):
        # For 100000000000000000000 asyncpg may give 1E+20: the same, with the same number of decimals.
        return _decimals(one) == _decimals(other) and (one.is_nan() or one == other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and getattr(one, "tzinfo", None) == getattr(other, "tzinfo", None)


def _decimals(number: Decimal) -> int | str:
    exponent = number.as_tuple().exponent
    return min(exponent, 0) if isinstance(exponent, int) else exponent


@contextmanager
def both_executors(url: str, *, statements: str = "") -> Iterator[Both]:
    """Connect both executors to one database, after running ``statements`` in it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())
    with asyncio.Runner() as runner, sync.connect(url) as over_psycopg:
        connecting = plainsql.connect(url, min_size=1, max_size=1)
        over_asyncpg = runner.run(connecting._open())
        try:
            yield Both(runner, over_asyncpg, over_psycopg)
        finally:
            runner.run(over_asyncpg.close())
