"""The statistics of several columns together (``create statistics``), as far as the role sees them.

PostgreSQL shows them to the owner of the table and to members of its role, and to no other role.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg

from plainsql.plans.statistics.production_statistics import ExtendedStatistics

__all__ = ["read_extended"]

_KEYS: Final = re.compile(r"-?\d+", re.ASCII)
# Before PostgreSQL 15, those of a partitioned table are of its partitions together, as all there are.
_EXTENDED: Final = """
select e.stxrelid, e.stxname::text, c.relkind = 'p', e.stxkind::text[], s.statistics_name is not null,
  s.n_distinct::text, s.dependencies::text,
  (select pg_catalog.jsonb_object_agg(a.attnum, a.attname)
   from pg_catalog.pg_attribute as a where a.attrelid = e.stxrelid and a.attnum > 0)
from pg_catalog.pg_statistic_ext as e
inner join pg_catalog.pg_namespace as n on n.oid = e.stxnamespace
inner join pg_catalog.pg_class as c on c.oid = e.stxrelid
left join pg_catalog.pg_stats_ext as s
  on s.statistics_schemaname = n.nspname and s.statistics_name = e.stxname
where e.stxrelid = any(%s)
order by 1, 2, pg_catalog.to_jsonb(s) ->> 'inherited'
"""
_MCV: Final = "m"
_EXPRESSIONS: Final = "e"


def read_extended(
    connection: psycopg.Connection[Any], tables: Sequence[int]
) -> dict[int, dict[str, ExtendedStatistics]]:
    """Return the extended statistics of tables by their oids and names."""
    found: dict[int, dict[str, ExtendedStatistics]] = {}
    for table, name, inherited, kinds, visible, distinct, dependencies, columns in connection.execute(
        _EXTENDED, [[*tables]]
    ).fetchall():
        left_out: list[str] = []
        if not visible:
            left_out.append("all, as the role is no member of the owner")
        elif _MCV in kinds:
            left_out.append("common combinations of values")
        if visible and _EXPRESSIONS in kinds:
            left_out.append("expressions")
        statistics = ExtendedStatistics(
            inherited=inherited,
            n_distinct=_named(distinct, columns),
            dependencies=_named(dependencies, columns),
            left_out=left_out,
        )
        # Of a table with children there are two; the first is of the table alone.
        found.setdefault(table, {}).setdefault(name, statistics)
    return found


def _named(text: str | None, columns: dict[str, str]) -> list[list[str | float]]:
    """Return the entries of ``pg_ndistinct`` or ``pg_dependencies``: names of columns, and a number last.

    An expression has its negative number in place of a name.
    """
    entries = msgspec.json.decode(text, type=dict[str, float]) if text else {}
    return [
        [*(columns.get(key, key) for key in map(str, _KEYS.findall(keys))), value]
        for keys, value in entries.items()
    ]
