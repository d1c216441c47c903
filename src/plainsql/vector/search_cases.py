"""The conditions under which searches are measured: all rows, filters of several selectivities, tenants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import psycopg
from psycopg import Connection, RawCursor, sql

from plainsql.plans.explain.compared_columns import compared_settings
from plainsql.vector.query_vectors import Search

__all__ = ["SearchCase", "filter_cases", "tenant_sizes"]

_FACTOR: Final = 3
"""A value counts as near a wanted selectivity if it is at most this factor away."""
_COLUMN: Final = (
    "select a.attname::text from pg_catalog.pg_attribute as a where a.attrelid = $1 and a.attnum = $2"
)
_IS_SECURED: Final = "select pg_catalog.row_security_active($1::oid)"


@dataclass(frozen=True, slots=True)
class SearchCase:
    """One condition under which the searches are measured."""

    name: str
    kind: Literal["all", "filter", "tenant"]
    values: Mapping[str, Any] = field(default_factory=dict)
    """Values of parameters, in addition to those of the call."""
    tenant: str | None = None


def filter_cases(
    connection: Connection[Any],
    search: Search,
    given: frozenset[str],
    selectivities: Sequence[float],
    notes: list[str],
) -> Iterator[SearchCase]:
    """Yield a case for each parameter that filters the table, and for each selectivity that a value has.

    The values are the column's own. Parameters of ``given`` keep their values.
    """
    for parameter, comparison in search.filters.items():
        operator, _, column = comparison.partition(" ")
        if parameter in given or not selectivities:
            continue
        try:
            with connection.transaction():
                found = _values(connection, search, column, operator, selectivities)
        except psycopg.Error as error:
            notes.append(f"no filter on {column} is measured: {type(error).__name__}")
            continue
        used: list[Any] = []
        for wanted, (value, share) in zip(selectivities, found, strict=True):
            if value is None or not wanted / _FACTOR <= share <= wanted * _FACTOR:
                notes.append(f"no value of {parameter} selects about {_percent(wanted)} of the rows")
            elif value not in used:
                used.append(value)
                name = f"{column} {operator} :{parameter}, {_percent(share)}"
                yield SearchCase(name, "filter", {parameter: value})


def _values(
    connection: Connection[Any], search: Search, column: str, operator: str, selectivities: Sequence[float]
) -> list[tuple[Any, float]]:
    """Return for each selectivity the value whose own is nearest to it, with that."""
    known = sql.SQL(operator)  # pyright: ignore[reportArgumentType]  # one of five
    names = {"column": sql.Identifier(column), "table": search.relation, "operator": known}
    if operator == "=":
        query = sql.SQL(
            "with counts as (select t.{column} as value, count(*)::float8 as n from {table} as t group by 1),"
            " whole as (select sum(c.n) as n from counts as c)"
            " select n.value, n.share from unnest({wanted}::float8[]) with ordinality as w (share, number)"
            " left join lateral (select c.value, c.n / whole.n as share from counts as c cross join whole"
            " where c.value is not null order by abs(ln(c.n / whole.n / w.share)), c.value limit 1) as n"
            " on true"
            " order by w.number"
        ).format(wanted=sql.Literal([*selectivities]), **names)
    else:
        upwards = operator in ("<", "<=")
        query = sql.SQL(
            "with chosen as (select percentile_disc({wanted}::float8[]) within group (order by t.{column})"
            " as list from {table} as t), whole as (select count(*)::float8 as n from {table} as t)"
            " select v.value, (select count(*) from {table} as t where t.{column} {operator} v.value)"
            " / nullif(whole.n, 0)"
            " from chosen cross join whole, unnest(chosen.list) with ordinality as v (value, number)"
            " order by v.number"
        ).format(wanted=sql.Literal([each if upwards else 1 - each for each in selectivities]), **names)
    rows = connection.execute(query).fetchall()
    return [
        *((value, share or 0.0) for value, share in rows),
        *[(None, 0.0)] * (len(selectivities) - len(rows)),
    ]


def tenant_sizes(
    connection: Connection[Any], search: Search, setting: str, notes: list[str]
) -> list[tuple[str, int]]:
    """Return the largest, the median and the smallest tenant of the table, each with its rows.

    The column is the one that the policies of the table compare with the tenant's setting. Empty if there is
    none.
    """
    if not search.oid:
        return []
    found = [
        each
        for name in (setting, "app.jwt_tenant")
        for each in compared_settings(connection, [search.oid]).get(name, ())
        if each.table == search.oid and each.operator == "="
    ]
    if not found:
        return []
    if RawCursor(connection).execute(_IS_SECURED, [search.oid]).fetchone() == (True,):
        notes.append("row-level security hides the other tenants from this role: name tenants with --tenant")
        return []
    row = RawCursor(connection).execute(_COLUMN, [search.oid, found[0].column]).fetchone()
    assert row is not None
    query = sql.SQL(
        "select t.{column}::text, count(*) from {table} as t"
        " where t.{column} is not null and t.{vector} is not null group by 1 order by 2 desc, 1"
    ).format(column=sql.Identifier(row[0]), table=search.relation, vector=sql.Identifier(search.column))
    sizes = connection.execute(query).fetchall()
    return [sizes[at] for at in sorted({0, len(sizes) // 2, len(sizes) - 1})] if sizes else []


def _percent(share: float) -> str:
    return f"{share * 100:.2g} %"
