"""The soundness fuzzer: `python -m tests.analysis.fuzz --queries 20000 --seed 7 [--url …]`.

Any null in a column claimed never-null, any second row where at most one was proved, any missing row where
exactly one was, and any row that a claimed binding says cannot matter and does, fails with the smallest
case found.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import psycopg
from psycopg import sql as quoting

from plainsql.analysis import Analyser, Analysis, RefusedError
from tests.analysis.generate import SQL_TYPES, Generator, Schema

QUERIES_A_SCHEMA = 60

VALUES: dict[str, tuple[Any, ...]] = {
    "int": (0, 1, 2, 3, -1),
    "text": ("a", "b", ""),
    "bool": (True, False),
    "date": ("2026-01-01", "infinity"),
    "numeric": ("1.0", "2.5"),
    "jsonb": ('{"k": 1}', "null"),
    "ints": ("{}", "{1,2}", "{1,NULL}"),
    "mood": ("sad", "ok"),
    "bigint": (0, 1),
}


@dataclass(slots=True)
class Tally:
    """The counts of a run."""

    queries: int = 0
    refused: int = 0
    failed: int = 0
    columns: int = 0
    never_null: int = 0
    single: int = 0
    bound: int = 0
    messages: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Violation:
    """A claim that the server disproved."""

    kind: str
    detail: str


@dataclass(slots=True)
class Case:
    """Everything that is needed to reproduce a violation."""

    schema: Schema
    sql: str
    types: list[str]
    values: list[Any]
    emptied: list[str]
    violation: Violation

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.violation.kind}: {self.violation.detail}",
                *(f"{statement};" for statement in (*self.schema.statements, *self.schema.rows)),
                *(f"delete from {table};" for table in self.emptied),
                f"-- {self.values!r}",
                f"{self.sql};",
            ]
        )


def run(connection: psycopg.Connection[Any], seed: int, queries: int, tally: Tally) -> Iterator[Case]:
    """Run this many queries from a seed, and yield the violations of claims, made small."""
    number = 0
    while tally.queries < queries:
        random = Random(f"{seed}/{number}")
        number += 1
        generator = Generator(random, connection.info.server_version)
        schema = generator.schema()
        if not build(connection, schema):
            tally.failed += 1
            continue
        with Analyser(connection) as analyser:
            for _ in range(min(QUERIES_A_SCHEMA, queries - tally.queries)):
                sql, types = generator.statement()
                values = [None if random.random() < 0.25 else random.choice(VALUES[t]) for t in types]
                emptied = [t.name for t in schema.tables if not t.view and random.random() < 0.15]
                tally.queries += 1
                found = attempt(connection, analyser, sql, types, values, emptied, tally)
                if found is not None:
                    case = Case(schema, sql, types, values, emptied, found)
                    yield shrink(connection, analyser, case)


def build(connection: psycopg.Connection[Any], schema: Schema) -> bool:
    """Make the schema and its data again; rows that break a constraint are left out."""
    connection.execute("drop schema if exists fuzz cascade")
    connection.execute("create schema fuzz")
    connection.execute("set search_path to fuzz")
    connection.execute("set statement_timeout to '1s'")
    try:
        for statement in schema.statements:
            connection.execute(statement.encode())
    except psycopg.Error:
        return False
    for row in schema.rows:
        try:
            connection.execute(row.encode())
        except psycopg.Error:
            continue
    return True


def execute(
    connection: psycopg.Connection[Any],
    sql: str,
    types: list[str],
    values: list[Any],
    emptied: list[str],
    more: str = "",
) -> list[tuple[Any, ...]] | None:
    """Return the statement's rows as text, with its writes undone; ``None`` if it fails."""
    connection.execute("begin")
    try:
        # Foreign keys and similar constraints must not prevent odd data.
        for table in emptied:
            connection.execute(quoting.SQL("delete from {}").format(quoting.Identifier(table)))
        if more:
            # Only these rows: the rows that a foreign key would delete with them may matter.
            connection.execute("set local session_replication_role = replica")
            connection.execute(more.encode())
            connection.execute("set local session_replication_role = origin")
        cursor = psycopg.RawCursor(connection)
        typed = [None if v is None else str(v).lower() if isinstance(v, bool) else str(v) for v in values]
        cursor.execute(sql.encode(), typed)
        # As text: a value that Python cannot hold, such as an infinite date, causes no error.
        result = cursor.pgresult
        assert result is not None
        return [
            tuple(result.get_value(row, column) for column in range(result.nfields))
            for row in range(result.ntuples)
        ]
    except psycopg.Error:
        return None
    finally:
        connection.execute("rollback")


def attempt(
    connection: psycopg.Connection[Any],
    analyser: Analyser,
    sql: str,
    types: list[str],
    values: list[Any],
    emptied: list[str],
    tally: Tally | None = None,
) -> Violation | None:
    """Analyse and execute one statement, and compare the results."""
    tally = tally if tally is not None else Tally()
    try:
        analysis = analyser.analyse(sql)
    except RefusedError as error:
        tally.refused += 1
        tally.messages[str(error)] = tally.messages.get(str(error), 0) + 1
        return None
    if len(analysis.parameters) != len(values):
        # Cut out of the statement while it was made smaller.
        return None
    # A call that binds null to a parameter that refuses it is refused before it is sent.
    values = [
        VALUES[type_][0] if value is None and not fact.nullable else value
        for value, type_, fact in zip(values, types, analysis.parameters, strict=True)
    ]
    rows = execute(connection, sql, types, values, emptied)
    if rows is None:
        tally.failed += 1
        return None
    tally.columns += len(analysis.columns)
    tally.never_null += sum(not column.nullable for column in analysis.columns)
    tally.single += analysis.rows in ("one", "optional")
    return judge(analysis, rows) or judge_bounds(
        connection, analysis, sql, types, values, emptied, rows, tally
    )


def judge(analysis: Analysis, rows: list[tuple[Any, ...]]) -> Violation | None:
    """Return whether rows disprove a claim."""
    if analysis.rows in ("one", "optional") and len(rows) > 1:
        return Violation("too many rows", f"{len(rows)} rows, though {analysis.rows_because}")
    if analysis.rows == "one" and not rows:
        return Violation("no row", f"though {analysis.rows_because}")
    groups: dict[int, list[int]] = {}
    for i, column in enumerate(analysis.columns):
        if not column.nullable and any(row[i] is None for row in rows):
            return Violation("null", f"column {i + 1} is null, though {column.because}")
        if column.nullable_group is not None and not column.nullable_in_group:
            groups.setdefault(column.nullable_group, []).append(i)
    for members in groups.values():
        for row in rows:
            if len({row[i] is None for i in members}) > 1:
                return Violation("group", f"columns {[i + 1 for i in members]} are not null together")
    return None


ORDER_MATTERS = re.compile(
    r"\blimit\b|_agg\(|\bover \(|\bdistinct on\b|\bsum\(|\bavg\(|\bstddev", re.IGNORECASE
)


def judge_bounds(
    connection: psycopg.Connection[Any],
    analysis: Analysis,
    sql: str,
    types: list[str],
    values: list[Any],
    emptied: list[str],
    rows: list[tuple[Any, ...]],
    tally: Tally,
) -> Violation | None:
    """Remove the rows that do not matter according to a binding: the answer must stay the same."""
    if not analysis.read_only or ORDER_MATTERS.search(sql):
        return None
    tables = [use.table for use in analysis.reads]
    for use in analysis.reads:
        if not use.bound or tables.count(use.table) > 1:
            continue
        tally.bound += 1
        column, parameter = use.bound[0]
        number = int(parameter.removeprefix("$")) - 1
        value = values[number]
        keep = "false" if value is None else f"{column} = {literal(value)}::{SQL_TYPES[types[number]]}"
        again = execute(
            connection, sql, types, values, emptied, f"delete from {use.table} where ({keep}) is not true"
        )
        if again is not None and sorted(map(repr, again)) != sorted(map(repr, rows)):
            return Violation(
                "bound", f"{use.table}.{column} = {parameter} does not bind all rows that matter"
            )
    return None


def literal(value: Any) -> str:
    """Return a value as SQL text."""
    return "'" + str(value).replace("'", "''") + "'"


def shrink(connection: psycopg.Connection[Any], analyser: Analyser, case: Case) -> Case:
    """Cut the statement, then the data, as long as the violation remains."""

    def fails(sql: str) -> bool:
        found = attempt(connection, analyser, sql, case.types, case.values, case.emptied)
        return found is not None and found.kind == case.violation.kind

    tokens = re.findall(r"'(?:[^']|'')*'|\w+|::|[<>=]+|\|\||\S", case.sql)
    tokens = cut(tokens, lambda parts: fails(" ".join(parts)))
    sql = " ".join(tokens)
    if not fails(sql):
        return case
    found = attempt(connection, analyser, sql, case.types, case.values, case.emptied)
    return Case(case.schema, sql, case.types, case.values, case.emptied, found or case.violation)


def cut(tokens: list[str], fails: Callable[[list[str]], bool]) -> list[str]:
    """Remove runs of tokens, long ones first, while the rest still fails."""
    size = len(tokens) // 2
    deadline = time.monotonic() + 30
    while size and time.monotonic() < deadline:
        start = 0
        smaller = False
        while start < len(tokens) and time.monotonic() < deadline:
            rest = tokens[:start] + tokens[start + size :]
            if rest and fails(rest):
                tokens, smaller = rest, True
            else:
                start += max(1, size // 4)
        size = size if smaller and size <= 4 else size // 2
    return tokens


def main() -> int:
    """Fuzz until the number of queries is reached; the exit status is the number of violations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url", help="a database to work in, whose schema `fuzz` is overwritten")
    parser.add_argument("--keep-going", action="store_true")
    options = parser.parse_args()
    tally, violations = Tally(), 0
    started = time.monotonic()
    with database(options.url) as connection:
        for case in run(connection, options.seed, options.queries, tally):
            violations += 1
            print(case, end="\n\n", flush=True)
            if not options.keep_going:
                break
    print(
        f"{tally.queries} queries in {time.monotonic() - started:.0f} s: {tally.refused} refused,"
        f" {tally.failed} failed, {tally.never_null} of {tally.columns} columns never null,"
        f" {tally.single} single rows, {tally.bound} bindings, {violations} violations"
    )
    for message, count in sorted(tally.messages.items(), key=lambda item: -item[1])[:10]:
        print(f"  {count} times: {message}")
    return min(violations, 1)


def database(url: str | None) -> psycopg.Connection[Any]:
    """The database to work in: the given one, or one of a server that stops with this process."""
    if url is None:
        from plainsql.settings import resolve_database

        with resolve_database(None) as server:
            return psycopg.connect(server, autocommit=True)
    return psycopg.connect(url, autocommit=True)


if __name__ == "__main__":
    sys.exit(main())
