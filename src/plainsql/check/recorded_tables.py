"""The tables that cached reads depend on, and the triggers that record writes to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from plainsql.analysis.effects.cache_dependencies import cached_read
from plainsql.codegen import Checked

__all__ = ["RecordedTable", "read_tables", "recorded_tables"]


class RecordedTable(NamedTuple):
    """A table whose writes are recorded."""

    body: str
    """The body of the function that records them."""
    definition: str
    """The ``create or replace function`` that makes it."""
    runs_as_owner: bool
    search_path: str | None
    """The ``search_path`` as PostgreSQL stores it; ``None`` if the function uses its caller's."""
    is_public: bool
    """True if any role may make the function the trigger of a table of its own."""


def read_tables(checked: Iterable[Checked]) -> dict[str, Sequence[str]]:
    """Return the tables that cached reads depend on, each with the columns that bind them.

    Tables are named with their schema; both are in the order of their names.
    """
    found: dict[str, set[str]] = {}
    for item in checked:
        if item.statement.cache is None:
            continue
        for dependency in cached_read(item.statement.cache, item.variants).dependencies:
            columns = found.setdefault(dependency.table, set())
            if dependency.column is not None:
                columns.add(dependency.column)
    return {table: sorted(columns) for table, columns in sorted(found.items())}


def recorded_tables(connection: Any) -> dict[str, RecordedTable]:
    """Return the tables of a database whose writes are already recorded, by name with schema."""
    rows = connection.execute(
        """
        select
          n.nspname || '.' || c.relname,
          p.prosrc,
          pg_get_functiondef(p.oid),
          p.prosecdef,
          (select substr(s, 13) from unnest(p.proconfig) as s where s like 'search\\_path=%'),
          has_function_privilege('public', p.oid, 'execute')
        from pg_catalog.pg_trigger as t
          inner join pg_catalog.pg_class as c on t.tgrelid = c.oid
          inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
          inner join pg_catalog.pg_proc as p on t.tgfoid = p.oid
        where t.tgname = 'note_for_cache_insert'
        """
    ).fetchall()
    return {table: RecordedTable(*found) for table, *found in rows}
