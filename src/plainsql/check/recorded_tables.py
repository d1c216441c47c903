"""Which tables cached reads depend on, and which of them have triggers that note writes to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from plainsql.analysis.effects.cache_dependencies import cached_read
from plainsql.codegen import Checked

__all__ = ["RecordedTable", "read_tables", "recorded_tables"]


class RecordedTable(NamedTuple):
    """A table whose writes are noted."""

    body: str
    """Of the function that notes them."""
    definition: str
    """The ``create or replace function`` that makes it."""
    runs_as_owner: bool
    search_path: str | None
    """As PostgreSQL writes it down; ``None`` where the function runs with its caller's."""
    is_public: bool
    """Anybody may make the function the trigger of a table of their own."""


def read_tables(checked: Iterable[Checked]) -> dict[str, Sequence[str]]:
    """The tables that cached reads among statements depend on, each with the columns that they are bound by.

    By name with schema, both in the order of their names.
    """
    found: dict[str, set[str]] = {}
    for item in checked:
        if item.statement.cache is None:
            continue
        for dependence in cached_read(item.statement.cache, item.variants).dependencies:
            columns = found.setdefault(dependence.table, set())
            if dependence.column is not None:
                columns.add(dependence.column)
    return {table: sorted(columns) for table, columns in sorted(found.items())}


def recorded_tables(connection: Any) -> dict[str, RecordedTable]:
    """The tables of a database whose writes are noted already, by name with schema."""
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
