"""Extended statistics, written into the copy's catalog: PostgreSQL 18 has no function that restores them."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg

from plainsql.plans.copy.catalog_of_copy import CopiedTable
from plainsql.plans.statistics.production_statistics import ExtendedStatistics, TableStatistics

__all__ = ["restore_extended"]

# The serialized forms of statistics.h: a magic number, the type and the number of entries.
_DISTINCT_MAGIC: Final = 0xA352BFA4
_DEPENDENCIES_MAGIC: Final = 0xB4549A2C
_TYPE: Final = 1
_EXPRESSION: Final = re.compile(r"-[1-9][0-9]{0,2}", re.ASCII)
_TYPES: Final = ("pg_ndistinct", "pg_dependencies")
_INSERT: Final = """
insert into pg_catalog.pg_statistic_ext_data (stxoid, stxdinherit, stxdndistinct, stxddependencies)
values (%s, %s, %s::bytea::pg_catalog.pg_ndistinct, %s::bytea::pg_catalog.pg_dependencies)
"""


def restore_extended(
    connection: psycopg.Connection[Any],
    tables: Sequence[CopiedTable],
    known: Mapping[tuple[str, str], TableStatistics],
) -> list[str]:
    """Write the extended statistics that the copy has a place for; return the names of the others."""
    oids = {
        table.oid: table
        for table in tables
        if known.get((table.schema, table.name), TableStatistics()).extended
    }
    if not oids:
        return []
    places: dict[tuple[int, str], tuple[int, dict[str, int]]] = {
        (table, name): (oid, numbers)
        for table, name, oid, numbers in connection.execute(
            "select e.stxrelid, e.stxname::text, e.oid, ("
            "  select pg_catalog.jsonb_object_agg(a.attname, a.attnum) from pg_catalog.pg_attribute as a"
            "  where a.attrelid = e.stxrelid and a.attnum > 0 and not a.attisdropped)"
            " from pg_catalog.pg_statistic_ext as e where e.stxrelid = any(%s)",
            [[*oids]],
        ).fetchall()
    }
    gone: list[str] = []
    with connection.transaction():
        connection.execute("set local allow_system_table_mods = on")
        for kind in _TYPES:
            connection.execute(f"create cast (bytea as pg_catalog.{kind}) without function".encode())
        for oid, table in oids.items():
            for name, statistics in known[table.schema, table.name].extended.items():
                place = places.get((oid, name))
                if place is None or not _fits(statistics, place[1]):
                    gone.append(f"the statistics {table.schema}.{name}")
                elif statistics.n_distinct or statistics.dependencies:
                    connection.execute(
                        _INSERT, [place[0], statistics.inherited, *_serialized(statistics, place[1])]
                    )
        for kind in _TYPES:
            connection.execute(f"drop cast (bytea as pg_catalog.{kind})".encode())
    return gone


def _fits(statistics: ExtendedStatistics, numbers: Mapping[str, int]) -> bool:
    names = (name for entry in (*statistics.n_distinct, *statistics.dependencies) for name in entry[:-1])
    return all(name in numbers or _EXPRESSION.fullmatch(str(name)) for name in names)


def _serialized(
    statistics: ExtendedStatistics, numbers: Mapping[str, int]
) -> tuple[bytes | None, bytes | None]:
    distinct = _entries(_DISTINCT_MAGIC, statistics.n_distinct, numbers, "<di")
    return distinct, _entries(_DEPENDENCIES_MAGIC, statistics.dependencies, numbers, "<dh")


def _entries(
    magic: int, entries: Sequence[Sequence[str | float]], numbers: Mapping[str, int], head: str
) -> bytes | None:
    """Return one serialized list; None if it is empty. ``head`` is a value and the number of columns."""
    if not entries:
        return None
    parts = [struct.pack("<III", magic, _TYPE, len(entries))]
    for *names, value in entries:
        columns = [numbers[name] if name in numbers else int(name) for name in map(str, names)]
        parts.append(struct.pack(head, value, len(columns)) + struct.pack(f"<{len(columns)}h", *columns))
    return b"".join(parts)
