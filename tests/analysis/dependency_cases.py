"""Random schemas, cacheable reads, and writes: the soundness fuzzer of derived dependencies.

`python -m tests.analysis.dependency_cases --pairs 20000 --seed 7 [--url …]` runs each read before and after
each write on the server. If the answer differs, a change of the write must hit a dependency of the read, with
the values that both got and that the write returned.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import psycopg
from psycopg.rows import dict_row

from plainsql.analysis import Analyser, Analysis, RefusedError
from plainsql.dependencies import Change, Dependency
from plainsql.settings import resolve_database
from plainsql.statements import compile_body
from tests.analysis.dependency_statements import Statements

PAIRS_A_SCHEMA, DRAWS = 60, 8
VALUES = (0, 1, 2, 3, 4)


@dataclass(slots=True)
class Tally:
    """The counts of a run."""

    pairs: int = 0
    runs: int = 0
    """The number of draws of values for each pair."""
    refused: int = 0
    failed: int = 0
    changed: int = 0
    """Pairs in which the write changed the answer."""
    partitioned: int = 0
    """Those of ``changed`` in which a partition was hit."""
    spared: int = 0
    """Pairs on a common table in which the read stays valid by its partition."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with parameters, their values, and its analysis."""

    sql: str
    analysis: Analysis
    text: str
    parameters: tuple[str, ...]
    values: Mapping[str, Any]

    def drawn(self, random: Random) -> Statement:
        """Return the case with other values."""
        return replace(self, values={name: random.choice(VALUES) for name in self.parameters})


@dataclass(frozen=True, slots=True)
class Miss:
    """A read that a write changed, although nothing of the write hits it."""

    schema: list[str]
    read: Statement
    write: Statement

    def __str__(self) -> str:
        return "\n".join(
            [
                *(f"{statement};" for statement in self.schema),
                *(f"{each.sql};\n  -- {dict(each.values)}" for each in (self.read, self.write)),
                f"depends on {self.read.analysis.dependencies}",
                f"changes {self.write.analysis.changes}",
            ]
        )


def hits(
    change: Change,
    dependency: Dependency,
    read: Mapping[str, Any],
    write: Mapping[str, Any],
    rows: list[Mapping[str, Any]],
) -> bool:
    """Return whether rows that a write changed may be among those that a read depends on."""
    if change.table == "*":
        return True
    if change.table != dependency.table:
        return False
    sources = [known for known in change.known if known[0] == dependency.column]
    if dependency.parameter is None or not sources:
        return True
    touched: set[Any] = set()
    for _, source, name in sources:
        touched |= {write.get(name)} if source == "parameter" else {row[name] for row in rows}
    return read.get(dependency.parameter) in touched - {None}


def run(connection: psycopg.Connection[Any], seed: int, pairs: int, tally: Tally) -> Iterator[Miss]:
    """Run this many pairs of a read and a write from a seed, and yield each miss."""
    number = 0
    while tally.pairs < pairs:
        random = Random(f"reach/{seed}/{number}")
        number += 1
        statements = Statements(random, connection.info.server_version)
        schema = statements.schema()
        _build(connection, schema)
        with Analyser(connection) as analyser:
            for _ in range(min(PAIRS_A_SCHEMA, pairs - tally.pairs)):
                tally.pairs += 1
                statements.aim()
                read = _prepare(analyser, statements.read())
                write = _prepare(analyser, statements.write())
                if read is None or write is None:
                    tally.refused += 1
                    continue
                for _ in range(DRAWS):
                    read, write = read.drawn(random), write.drawn(random)
                    tally.runs += 1
                    if _misses(connection, read, write, tally):
                        yield Miss(schema, read, write)
                        break


def _build(connection: psycopg.Connection[Any], schema: list[str]) -> None:
    connection.execute("drop schema if exists reach cascade")
    connection.execute("create schema reach")
    connection.execute("set search_path to reach")
    connection.execute("set statement_timeout to '5s'")
    for statement in schema:
        try:
            connection.execute(statement.encode())
        except psycopg.errors.IntegrityError:
            continue  # a random row that breaks a constraint


def _prepare(analyser: Analyser, sql: str) -> Statement | None:
    variant = compile_body(sql, name="case", path="case.sql").variants()[-1]
    try:
        analysis = analyser.analyse(variant.sql, variant.parameters)
    except RefusedError:
        return None
    return Statement(sql, analysis, variant.sql, variant.parameters, {})


def _misses(connection: psycopg.Connection[Any], read: Statement, write: Statement, tally: Tally) -> bool:
    connection.execute("begin")
    try:
        before = _rows(connection, read)
        rows = _rows(connection, write)
        connection.execute("set constraints all immediate")
        after = _rows(connection, read)
    except psycopg.Error:
        tally.failed += 1
        return False
    finally:
        connection.execute("rollback")
    pairs = [(c, d) for c in write.analysis.changes for d in read.analysis.dependencies]
    hit = [pair for pair in pairs if hits(*pair, read.values, write.values, rows)]
    if sorted(map(repr, before)) == sorted(map(repr, after)):
        tally.spared += not hit and any(c.table == d.table for c, d in pairs)
        return False
    tally.changed += 1
    tally.partitioned += all(
        d.column is not None and any(known[0] == d.column for known in c.known) for c, d in hit
    )
    return not hit


def _rows(connection: psycopg.Connection[Any], statement: Statement) -> list[Mapping[str, Any]]:
    cursor = psycopg.RawCursor(connection, row_factory=dict_row)
    # As text: the server gives them the types that it has inferred.
    cursor.execute(statement.text.encode(), [str(statement.values[name]) for name in statement.parameters])
    return list(cursor) if cursor.description else []


def main() -> int:
    """Fuzz until the number of pairs is reached; the exit status is 1 if there was a miss."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url", help="a database to work in, whose schema `reach` is overwritten")
    parser.add_argument("--keep-going", action="store_true")
    options = parser.parse_args()
    tally, misses = Tally(), 0
    started = time.monotonic()
    with (
        resolve_database(options.url) as server,
        psycopg.connect(str(server), autocommit=True) as connection,
    ):
        for miss in run(connection, options.seed, options.pairs, tally):
            misses += 1
            print(miss, end="\n\n", flush=True)
            if not options.keep_going:
                break
    print(f"{tally} in {time.monotonic() - started:.0f} s, {misses} misses")
    return min(misses, 1)


if __name__ == "__main__":
    sys.exit(main())
