"""The columns that hold secrets by their name, and the relations and columns that are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from plainsql.plans.statistics.column_values import is_secret

__all__ = ["SecretColumns"]

# A generated column refers to no other generated column: its expression has the names.
_COLUMNS: Final = """
select a.attrelid, a.attnum::integer, a.attname::text || case
  when a.attgenerated <> '' then ' ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid) else '' end
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_class as c on c.oid = a.attrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'm', 'v', 'f')
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
"""
# The rule of a view has all columns that its query reads; an index has those of keys and condition.
# Column 0 is the relation as a whole.
_SOURCES: Final = """
select r.ev_class, d.refobjid, d.refobjsubid
from pg_catalog.pg_depend as d
inner join pg_catalog.pg_rewrite as r on r.oid = d.objid
where d.classid = 'pg_catalog.pg_rewrite'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
  and d.refobjid <> r.ev_class
union
select d.objid, d.refobjid, d.refobjsubid
from pg_catalog.pg_depend as d
inner join pg_catalog.pg_index as i on i.indexrelid = d.objid and i.indrelid = d.refobjid
where d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
"""


@dataclass(frozen=True, slots=True)
class SecretColumns:
    """The secret columns of a database, and the views and indexes that read one.

    A view does not say from which column one of its own comes, so each of its columns counts.
    """

    columns: Mapping[int, AbstractSet[int]]
    """The numbers of the secret columns, by the oid of their relation."""
    derived: AbstractSet[int]
    """The views, materialized views and indexes that read a secret column."""

    @classmethod
    def read(cls, connection: psycopg.Connection[Any]) -> SecretColumns:
        """Read the names and dependencies from the catalog."""
        columns: dict[int, set[int]] = {}
        for relation, number, text in connection.execute(_COLUMNS).fetchall():
            if is_secret(text):
                columns.setdefault(relation, set()).add(number)
        sources: dict[int, set[tuple[int, int]]] = {}
        for relation, source, number in connection.execute(_SOURCES).fetchall():
            sources.setdefault(source, set()).add((relation, number))
        derived: set[int] = set()
        pending = [*columns]
        while pending:
            source = pending.pop()
            for relation, number in sources.get(source, ()):
                reads = source in derived or number == 0 or number in columns.get(source, ())
                if reads and relation not in derived:
                    derived.add(relation)
                    pending.append(relation)
        return cls(columns, derived)

    def has(self, relation: int, number: int) -> bool:
        """Return True if the values of a column may be secrets."""
        return relation in self.derived or number in self.columns.get(relation, ())
