"""Two empty databases, and what is in them: a source and a target."""

from __future__ import annotations

import io
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from plainsql.testing import Databases
from plainsql.transfer import Transferred, export_schemas, import_file


@dataclass(frozen=True)
class Side:
    """A database, by a connection in autocommit mode."""

    url: str
    connection: psycopg.Connection[Any]

    def run(self, sql: str, *parameters: object) -> None:
        self.connection.execute(sql.encode(), parameters or None)

    def value(self, sql: str) -> Any:
        row = self.connection.execute(sql.encode()).fetchone()
        assert row is not None
        return row[0]

    def binary(self, query: str) -> bytes:
        """Return the result of a query as the types' send functions write it: an oracle of equality."""
        with self.connection.cursor().copy(f"copy ({query}) to stdout (format binary)".encode()) as copy:
            return b"".join(map(bytes, copy))

    def export(self, *schemas: str) -> bytes:
        out = io.BytesIO()
        export_schemas(self.connection, schemas or ["shop"], out)
        return out.getvalue()

    def load(self, content: bytes, *, replace: bool = False) -> Transferred:
        return import_file(self.connection, io.BytesIO(content), replace=replace)


@dataclass(frozen=True)
class Pair:
    source: Side
    target: Side

    def both(self, sql: str) -> None:
        for side in (self.source, self.target):
            side.run(sql)


def _pair(databases: Databases) -> Generator[Pair]:
    with (
        databases.clone() as one,
        databases.clone() as other,
        psycopg.connect(one, autocommit=True) as a,
        psycopg.connect(other, autocommit=True) as b,
    ):
        yield Pair(Side(one, a), Side(other, b))


@pytest.fixture
def pair(plainsql_databases: Databases) -> Generator[Pair]:
    """Two databases of this test."""
    yield from _pair(plainsql_databases)


@pytest.fixture(scope="module")
def module_pair(plainsql_databases: Databases) -> Generator[Pair]:
    """Two databases of this module."""
    yield from _pair(plainsql_databases)
