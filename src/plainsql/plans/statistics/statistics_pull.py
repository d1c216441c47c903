"""All that the planner of production knows, read in about a second by a role without superuser rights."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

import psycopg

from plainsql.errors import ConnectError, SettingsError
from plainsql.plans.statistics.column_values import handling, hide_values
from plainsql.plans.statistics.extended_statistics import read_extended
from plainsql.plans.statistics.gin_counters import read_gin
from plainsql.plans.statistics.hidden_tables import read_hidden, refuse_hidden
from plainsql.plans.statistics.index_ends import EndColumn, read_ends
from plainsql.plans.statistics.planner_settings import read_settings
from plainsql.plans.statistics.production_catalog import (
    ProductionIndex,
    ProductionTable,
    read_columns,
    read_indexes,
    read_tables,
)
from plainsql.plans.statistics.production_session import production_session
from plainsql.plans.statistics.production_statistics import FORMAT, Production, ProductionStatistics
from plainsql.plans.statistics.secret_columns import SecretColumns
from plainsql.plans.statistics.tree_heights import read_heights

__all__ = ["pull_statistics"]

_PAGE_BYTES = 8192


def pull_statistics(
    url: str, *, schemas: Sequence[str] = (), with_values: bool = False, incomplete: bool = False
) -> ProductionStatistics:
    """Return the statistics of the database of a URL. Nothing is written there, and no lock is kept.

    Args:
        url: the database; its role reads all tables, and bypasses row-level security.
        schemas: only these; by default all but the system's.
        with_values: keep all values of the statistics, also texts of persons.
        incomplete: leave out the tables whose statistics the role cannot see.

    Raises ``ConnectError`` if the server cannot be reached, if the role does not see all statistics, or if
    the pages of the server have another size; ``SettingsError`` if there is no such schema, or no table.
    """
    with production_session(url) as connection:
        production = _read_production(connection, with_values=with_values)
        tables = read_tables(connection, [*schemas] or None)
        _require_schemas(tables, schemas)
        hidden = [each for each in read_hidden(connection) if not schemas or each.schema in schemas]
        if not incomplete:
            refuse_hidden(connection, hidden)
        production.hidden = [str(each) for each in hidden]
        left_out = {each.oid for each in hidden}
        tables = [table for table in tables if table.oid not in left_out]
        _require_tables(connection, tables, hidden=len(hidden))
        indexes = read_indexes(connection, [table.oid for table in tables])
        extended = read_extended(connection, [table.oid for table in tables])
        for table in tables:
            table.statistics.extended = extended.get(table.oid, {})
        _add_columns(connection, tables, indexes, with_values=with_values)
        _add_index_facts(connection, production, tables, indexes, with_values=with_values)
    found: dict[str, dict[str, Any]] = {}
    for table in tables:
        found.setdefault(table.schema, {})[table.name] = table.statistics
    return ProductionStatistics(production=production, schemas=found)


def _read_production(connection: psycopg.Connection[Any], *, with_values: bool) -> Production:
    row = connection.execute(
        """
        select date_trunc('second', pg_catalog.now()), pg_catalog.current_setting('server_version'),
          d.datcollate::text, pg_catalog.current_setting('block_size')::integer
        from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database()
        """
    ).fetchone()
    assert row is not None
    taken, version, collation, page_bytes = row
    if page_bytes != _PAGE_BYTES:
        raise ConnectError(
            f"the pages of this server: expected {_PAGE_BYTES} bytes, got {page_bytes}",
            hint="the embedded server cannot plan as it does: explain on a server of the same build",
        )
    settings, roles, unknown = read_settings(connection)
    return Production(
        format=FORMAT,
        taken=taken.astimezone(UTC),
        server=version.split(" ", 1)[0],
        collation=collation,
        values="all" if with_values else "few",
        settings=settings,
        roles=roles,
        unread=[f"the setting {name}" for name in unknown],
    )


def _require_schemas(tables: Sequence[ProductionTable], schemas: Sequence[str]) -> None:
    missing = [name for name in schemas if name not in {table.schema for table in tables}]
    if missing:
        raise SettingsError(
            f"--schema: there is no table in a schema {missing[0]!r}", hint="upper and lower case differ"
        )


def _require_tables(
    connection: psycopg.Connection[Any], tables: Sequence[ProductionTable], *, hidden: int
) -> None:
    """Refuse a database without tables: its URL names the wrong one, and good files would become empty."""
    if tables:
        return
    info = connection.info
    where = f"the database {info.dbname!r} at {info.host or 'localhost'}:{info.port}"
    if hidden:
        raise SettingsError(
            f"{where}: the role {info.user} cannot see the statistics of any table",
            hint="leave out --incomplete: the error names the missing right",
        )
    raise SettingsError(f"{where} has no tables of its own", hint="name production's database in the URL")


def _add_columns(
    connection: psycopg.Connection[Any],
    tables: Sequence[ProductionTable],
    indexes: Sequence[ProductionIndex],
    *,
    with_values: bool,
) -> None:
    of_tables = {table.oid: table.statistics for table in tables}
    of_indexes = {index.oid: index.statistics for index in indexes}
    found = read_columns(connection, [*of_tables, *of_indexes])
    if not with_values:
        secrets = SecretColumns.read(connection)
        found = [
            (oid, number, inherited, values._replace(secret=secrets.has(oid, number)))
            for oid, number, inherited, values in found
        ]
    hide_values(connection, [values for *_, values in found], keep_all=with_values)
    for oid, number, inherited, values in found:
        if oid in of_indexes:
            of_indexes[oid].columns[str(number)] = values.statistics
        elif inherited:
            of_tables[oid].inherited[values.column] = values.statistics
        else:
            of_tables[oid].columns[values.column] = values.statistics


def _add_index_facts(
    connection: psycopg.Connection[Any],
    production: Production,
    tables: Sequence[ProductionTable],
    indexes: Sequence[ProductionIndex],
    *,
    with_values: bool,
) -> None:
    """Add the indexes to their tables, with heights, counters and ends."""
    of_tables = {table.oid: table for table in tables}
    heights = read_heights(connection, [index.tree for index in indexes if index.tree])
    counters = read_gin(connection, [each.oid for each in indexes if each.statistics.method == "gin"])
    columns: dict[EndColumn, list[ProductionIndex]] = {}
    for index in indexes:
        table = of_tables[index.table]
        # A text at an end is that of one row: it is kept with all values only.
        if index.column_type and (with_values or handling("", index.column_type, 0) == "keep"):
            columns.setdefault(EndColumn(table.schema, table.name, index.column), []).append(index)
    ends, slow = read_ends(connection, columns)
    production.unread += [f"the ends of {'.'.join(column)}" for column in slow]
    for column, (first, last) in ends.items():
        for index in columns[column]:
            index.statistics.first, index.statistics.last = first, last
    for index in indexes:
        index.statistics.height = heights.get(index.oid)
        index.statistics.gin = counters.get(index.oid)
        of_tables[index.table].statistics.indexes[index.name] = index.statistics
