"""The searches of one case in an open transaction: their plan, their answers and their times."""

from __future__ import annotations

import re
import secrets
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import psycopg
from pgvector import HalfVector, SparseVector, Vector
from psycopg import Connection, RawCursor, pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result

from plainsql.errors import BindError, OptionError, PlainsqlError
from plainsql.plans.explain.plan_tree import PlanNode, read_plan
from plainsql.plans.explain.query_plans import Call, refused_call
from plainsql.query.texts import QueryText
from plainsql.statements import Statement
from plainsql.vector.query_vectors import DISTANCE_OPERATORS, vector_texts
from plainsql.vector.recall_score import Answer, read_answer

__all__ = [
    "Run",
    "Searches",
    "binary_vectors",
    "matching_rows",
    "server_text",
    "settings_of",
    "vector_indexes",
]

_BINARY: Final[Mapping[str, Any]] = {"vector": Vector, "halfvec": HalfVector, "sparsevec": SparseVector}
"""By type, the class that writes its binary format."""
_BRACKETS: Final = re.compile(r"\[.*\]\Z|\{.*\}/\d+\Z", re.DOTALL)
_WARM_UP: Final = 10
"""More searches than the plan cache makes custom plans for, so that the measured ones have its choice."""

# An index of PostgreSQL's own methods is exact, also in the order of a distance: GiST is.
_INDEX_METHODS = """
select n.nspname::text, c.relname::text, m.amname::text
from unnest($1::text[], $2::text[]) as w (schema, name)
inner join pg_catalog.pg_class as c on w.name = c.relname
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid and (w.schema = '' or w.schema = n.nspname)
inner join pg_catalog.pg_am as m on c.relam = m.oid
where m.oid >= 16384
"""


@dataclass(slots=True)
class Run:
    """The answers of the searches, with their times."""

    answers: list[Answer] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    generic: bool = False
    """True if the plan cache took the generic plan."""


@dataclass(frozen=True, slots=True)
class Searches:
    """The searches of one case."""

    connection: Connection[Any]
    statement: Statement
    text: QueryText
    values: list[list[str | None]]
    """The values of each search, in the order of ``$n``."""
    binary: list[bytes | None]
    """The vector of each search in the binary format, as a driver sends it; ``None`` for text."""
    at: int
    """The position of the vector among the values."""

    def explain(self, *, analyze: bool = False) -> PlanNode:
        """Return the plan of the first search."""
        options = "analyze, timing off, format json, verbose" if analyze else "format json, verbose"
        try:
            with self.connection.transaction():  # the types of the values can be read after an error
                return self._plan(options, self.values[0])
        except psycopg.Error as error:
            raise self._refused(error, self.values[0]) from None

    def explain_generic(self) -> PlanNode:
        """Return the generic plan."""
        return self._plan("generic_plan, format json, verbose")

    def run(self, progress: Callable[[int, int], None]) -> Run:
        """Execute the searches as one prepared statement, after some that are not measured."""
        # Behind a pooler, the names of other processes' statements may be in the same session.
        prepared = f"plainsql_recall_{secrets.token_hex(8)}".encode()
        made = self.connection.pgconn.prepare(prepared, self.text.sql.encode())
        if made.status != pq.ExecStatus.COMMAND_OK:
            raise self._refused(error_from_result(made, "utf-8"), self.values[0])
        try:
            return self._run(prepared, progress)
        finally:
            _close(self.connection, prepared)

    def _run(self, prepared: bytes, progress: Callable[[int, int], None]) -> Run:
        calls = [*zip(self.values, self.binary, strict=True)]
        for values, binary in calls[:_WARM_UP]:
            self._execute(prepared, values, binary)
        run = Run()
        for number, (values, binary) in enumerate(calls, 1):
            began = time.perf_counter()
            result = self._execute(prepared, values, binary)
            run.seconds.append(time.perf_counter() - began)
            run.answers.append(read_answer(result))
            progress(number, len(calls))
        row = RawCursor(self.connection).execute(
            "select p.generic_plans > 0 from pg_catalog.pg_prepared_statements as p where p.name = $1",
            [prepared.decode()],
        )
        run.generic = row.fetchone() == (True,)
        return run

    def _execute(
        self, prepared: bytes, values: Sequence[str | None], binary: bytes | None
    ) -> pq.abc.PGresult:
        arguments: list[bytes | None] = [None if value is None else value.encode() for value in values]
        formats = [0] * len(arguments)
        if binary is not None:
            arguments[self.at], formats[self.at] = binary, 1
        sent: Any = arguments  # the declared type has no nulls
        result = self.connection.pgconn.exec_prepared(prepared, sent, formats)
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise self._refused(error_from_result(result, "utf-8"), values)
        return result

    def _plan(self, options: str, values: Sequence[str | None] | None = None) -> PlanNode:
        arguments = None if values is None else [*values]
        text = f"explain ({options})\n{self.text.sql}"
        row = RawCursor(self.connection).execute(text.encode(), arguments, prepare=False).fetchone()
        assert row is not None
        return read_plan(row[0])

    def _refused(self, error: psycopg.Error, values: Sequence[str | None]) -> PlainsqlError:
        if error.sqlstate is None:
            raise error  # the connection was lost
        variant = self.text.variant
        call = Call(name="search", values=dict(zip(variant.parameters, values, strict=True)))
        found = refused_call(self.connection, error, self.statement, variant, call)
        if error.sqlstate == "25006":
            found.hint = "recall measures queries that only read"
        return found


@contextmanager
def settings_of(connection: Connection[Any], settings: Mapping[str, str]) -> Iterator[None]:
    """Open a savepoint with settings that end with it."""
    with connection.transaction(force_rollback=True):
        for name, value in settings.items():
            try:
                connection.execute("select pg_catalog.set_config(%s, %s, true)", [name, value])
            except psycopg.Error as error:
                raise OptionError(
                    f"settings: {name}: {error.diag.message_primary or type(error).__name__}",
                    hint="name a setting that the role may set, as in hnsw.ef_search=40,80",
                ) from None
        yield


def vector_indexes(connection: Connection[Any], plan: PlanNode) -> tuple[str, ...]:
    """Return the indexes of vectors that a plan scans, with their access methods."""
    used = {(node.schema, node.index) for node in plan.walk() if node.index}
    if not used:
        return ()
    schemas, names = zip(*sorted(used), strict=True)
    rows = RawCursor(connection).execute(_INDEX_METHODS, [[*schemas], [*names]]).fetchall()
    return tuple(dict.fromkeys(f"{name} ({method})" for _, name, method in rows))


def matching_rows(plan: PlanNode) -> int | None:
    """Return the rows that the sort by distance reads: those that pass the conditions of the search."""
    for node in plan.walk():
        by_distance = any(
            f" {operator} " in key or f".{operator})" in key
            for key in node.sort_key
            for operator in DISTANCE_OPERATORS
        )
        if by_distance and node.inputs and all(each.actual is not None for each in node.inputs):
            return round(sum(each.actual.rows * each.actual.loops for each in node.inputs if each.actual))
    return None


def binary_vectors(texts: Sequence[str], type: str) -> list[bytes | None]:
    """Return vectors in the binary format; ``None`` for those that the server is to read as text."""
    kind = _BINARY.get(type)
    try:
        # pgvector does not check the brackets; the server refuses a text that has none.
        return [
            kind.from_text(text).to_binary() if kind is not None and _BRACKETS.match(text) else None
            for text in texts
        ]
    except (ValueError, struct.error):
        return [None] * len(texts)  # the server explains what is wrong


def server_text(connection: Connection[Any], value: Any, type: str) -> str | None:
    """Return a value in the form that PostgreSQL reads."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if type in ("json", "jsonb"):
        return msgspec.json.encode(value).decode()
    if type in _BINARY:
        return vector_texts([value], type)[0]
    try:
        written = Transformer(connection).dump_sequence([value], [PyFormat.TEXT])[0]
    except psycopg.Error:
        raise BindError(
            f"expected a value that PostgreSQL can hold, got {value.__class__.__name__}"
        ) from None
    return None if written is None else bytes(written).decode()


def _close(connection: Connection[Any], prepared: bytes) -> None:
    # The protocol's own message also passes through a pooler that renames statements.
    with suppress(psycopg.OperationalError):  # a lost connection has its own error
        try:
            connection.pgconn.close_prepared(prepared)
        except psycopg.NotSupportedError:  # libpq before 17; a failed transaction takes the name along
            if connection.info.transaction_status == pq.TransactionStatus.INTRANS:
                connection.execute(b"deallocate " + prepared)
