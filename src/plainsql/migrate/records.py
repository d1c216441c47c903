"""The records of migrations, read through the connection of another program, which brings the driver.

The tables are those of ``ledger``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from yoyo.migrations import default_migration_table

from plainsql.migrate.comparison import compare
from plainsql.migrate.discovery import Folder
from plainsql.migrate.ledger import Record
from plainsql.migrate.results import Status

__all__ = ["UnreadableRecordsError", "read_status"]

_TABLES = """
select quote_ident(n.nspname), c.relname,
  has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where
  c.relkind = 'r'
  and (c.relname = 'plainsql_migration' or starts_with(c.relname, '_yoyo_migration'))
  and n.oid = (
    select found.oid
    from unnest(current_schemas(false)) with ordinality as p (name, place)
    inner join pg_namespace as found on found.nspname = p.name
    inner join pg_class as kept on kept.relnamespace = found.oid
    where kept.relname in ('_yoyo_log', 'plainsql_migration') and kept.relkind = 'r'
    order by p.place
    limit 1
  )
"""


class UnreadableRecordsError(Exception):
    """The role may not read the records."""

    def __init__(self, tables: Sequence[str]) -> None:
        super().__init__(", ".join(tables))
        self.tables = tables
        """Their qualified names."""


@dataclass(frozen=True, slots=True)
class _Records:
    """The records of one layer, as ``Ledger`` returns them."""

    marks: dict[str, datetime] = field(default_factory=dict)
    rows: dict[str, Record] = field(default_factory=dict)

    def applied(self) -> dict[str, datetime]:
        return self.marks

    def records(self) -> dict[str, Record]:
        return self.rows


def read_status(folder: Folder) -> Generator[str, Sequence[Sequence[Any]], Status]:
    """Yield the SQL that reads the records, take its rows, and return the state of each migration.

    Raises ``UnreadableRecordsError`` if the role may not read a table of the records.
    """
    tables = {name: (schema, is_readable) for schema, name, is_readable in (yield _TABLES)}
    found: dict[str | None, _Records] = {layer: _Records() for layer in folder.sets}
    needed = {_table(layer) for layer in found} | {"plainsql_migration"}
    hidden = [f"{schema}.{name}" for name, (schema, ok) in tables.items() if name in needed and not ok]
    if hidden:
        raise UnreadableRecordsError(sorted(hidden))
    for layer, records in found.items():
        name = _table(layer)
        if name in tables:
            rows = yield f'select migration_id, applied_at_utc from {tables[name][0]}."{name}" order by 2, 1'
            records.marks.update({str(id_): at.replace(tzinfo=UTC) for id_, at in rows})
    if "plainsql_migration" in tables:
        _assign((yield _of_ours(tables["plainsql_migration"][0])), found)
    return compare(folder, found)


def _table(layer: str | None) -> str:
    # The name of a layer has lower-case letters, digits and underscores.
    return f"{default_migration_table}_{layer}" if layer else str(default_migration_table)


def _of_ours(schema: str) -> str:
    # Through JSON, because a table of an earlier version has no count of statements.
    return (
        "select m.layer, m.id, m.checksum, m.state, m.duration_ms / 1000,"
        " extract(epoch from m.changed_at)::double precision,"
        " (to_jsonb(m) ->> 'statements_done')::integer, (to_jsonb(m) ->> 'statements_begun')::integer"
        f" from {schema}.plainsql_migration as m"
    )


def _assign(rows: Iterable[Sequence[Any]], found: Mapping[str | None, _Records]) -> None:
    for layer, id_, checksum, state, seconds, changed_at, done, begun in rows:
        if (records := found.get(layer or None)) is not None:
            at = datetime.fromtimestamp(changed_at, UTC)
            records.rows[id_] = Record(checksum, state, seconds, at, done, begun)
