"""Statements at random on the partitioned tables: joins, lists, `exists`, unions, limits, at any depth.

A run of its own looks at more of them, and prints those that scan more than they should::

    python -m tests.analysis.generate_tenants SEED SECONDS
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Sequence

import psycopg

from plainsql import embedded
from plainsql.analysis import Analyser, RefusedError
from tests.analysis.distribution_statements import SCHEMA, scanned_partitions

__all__ = ["StatementGenerator"]

_TABLES = ("orders", "customers")
_JOINS = ("inner join", "inner join", "left join", "right join", "full join")
_MAX_DEPTH = 2


class StatementGenerator:
    """A source of statements; one seed always gives the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._aliases = 0

    def statement(self) -> str:
        """Return one statement; PostgreSQL refuses a few of them."""
        query = self._select([], 0)
        kind = self._random.random()
        if kind < 0.2:
            return (
                f"with w as ({query}) select w.tenant_id, x.id from w"
                " inner join orders as x on x.tenant_id = w.tenant_id"
            )
        if kind < 0.3:
            return (
                f"insert into letters (tenant_id, id) select q.tenant_id, q.id + 1000 from ({query})"
                " as q (tenant_id, id) where q.tenant_id is not null and q.id is not null"
                " on conflict do nothing"
            )
        return query

    def _select(self, outer: Sequence[str], depth: int, columns: str = "") -> str:
        text, alias = self._source(depth)
        own = [alias]
        for _ in range(self._random.choice([0, 0, 1, 1, 2])):
            other, alias = self._source(depth)
            join = self._random.choice(_JOINS)
            shared = self._random.choice([["id"], ["tenant_id"], ["tenant_id", "id"]])
            on = " and ".join(f"{self._random.choice(own)}.{each} = {alias}.{each}" for each in shared)
            own.append(alias)
            if join != "full join" and self._random.random() < 0.4:
                on += f" and {self._condition(own, [], _MAX_DEPTH)}"
            text += f" {join} {other} on {on}"
        columns = columns or f"{self._random.choice(own)}.tenant_id, {self._random.choice(own)}.id"
        query = f"select {columns} from {text}"
        conditions = [self._condition(own, outer, depth) for _ in range(self._random.choice([0, 1, 1, 2, 3]))]
        if conditions:
            query += f" where {' and '.join(conditions)}"
        if "." in columns and self._random.random() < 0.1:
            return f"{query} group by 1, 2"
        return f"{query} limit 3" if self._random.random() < 0.1 else query

    def _source(self, depth: int) -> tuple[str, str]:
        self._aliases += 1
        alias, kind = f"t{self._aliases}", self._random.random()
        if depth < _MAX_DEPTH and kind < 0.37:
            inner = self._select([], depth + 1)
            if kind < 0.12:
                inner = f"({inner}) union all ({self._select([], depth + 1)})"
            return f"({inner}) as {alias} (tenant_id, id)", alias
        return f"{self._random.choice(_TABLES)} as {alias}", alias

    def _condition(self, own: Sequence[str], outer: Sequence[str], depth: int) -> str:
        one, other = self._random.choice(own), self._random.choice([*own, *outer])
        kind = self._random.random()
        if depth < _MAX_DEPTH and kind < 0.22:
            inner, outside = depth + 1, [*outer, *own]
            if kind < 0.12:
                return f"{self._random.choice(['', 'not '])}exists ({self._select(outside, inner, '1')})"
            return f"({one}.tenant_id, {one}.id) in ({self._select(outside, inner)})"
        return self._random.choice(
            [
                f"{one}.tenant_id = $1",
                f"{one}.tenant_id = $1",
                f"{one}.tenant_id = {other}.tenant_id",
                f"{one}.id = {other}.id",
                f"({one}.tenant_id = $1 or {other}.id = 2)",
                f"{one}.tenant_id is not distinct from $1",
                f"{one}.tenant_id = (select the_tenant())",
            ]
        )


def main(seed: int, seconds: float) -> int:
    """Print the statements that are wrongly said to be of one tenant; return their number."""
    generator, counts = StatementGenerator(seed), Counter[str]()
    with (
        embedded.start(scratch=True) as server,
        psycopg.connect(server.url(), autocommit=True) as connection,
        psycopg.connect(server.url(), autocommit=True) as other,
    ):
        connection.execute(SCHEMA.encode())
        connection.execute("analyze")
        connection.execute("set statement_timeout = '5s'")
        with Analyser(other) as analyser:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                sql = generator.statement()
                try:
                    found = analyser.distribution(sql, ("tenant",), column="tenant_id")
                    partitions = scanned_partitions(connection, sql)
                except (RefusedError, psycopg.Error):
                    counts["refused"] += 1
                    continue
                counts[found.kind] += 1
                if found.kind == "tenant" and len(partitions) > 1:
                    counts["wrong"] += 1
                    print(f"{sql}\n  {sorted(partitions)}")
    print(dict(counts))
    return counts["wrong"]


if __name__ == "__main__":
    raise SystemExit(1 if main(int(sys.argv[1]), float(sys.argv[2])) else 0)
