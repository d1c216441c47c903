"""The table that queries are written for: its columns, its key, and their names in SQL and in Python."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from keyword import iskeyword
from typing import Any, Final

from psycopg import Connection

from plainsql.errors import PlainsqlError
from plainsql.statements.suggestions import row_name, singular

__all__ = ["ScaffoldColumn", "ScaffoldTable", "read_table"]

_TABLES: Final = """
select c.oid, n.nspname, c.relname, c.relkind::text,
  case when n.nspname = 'public' then '' else pg_catalog.quote_ident(n.nspname) || '.' end
    || pg_catalog.quote_ident(c.relname)
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by n.nspname, c.relname
"""
_COLUMNS: Final = """
select a.attname, pg_catalog.quote_ident(a.attname), a.attnotnull,
  a.attgenerated <> '' or a.attidentity <> '', pg_catalog.pg_get_expr(d.adbin, d.adrelid),
  pg_catalog.format_type(a.atttypid, a.atttypmod)
from pg_catalog.pg_attribute as a
left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""
# The primary key first; else the unique key of not-null columns with the fewest columns.
_KEY: Final = """
select array(
  select a.attname::text from unnest(i.indkey::int2[]) with ordinality as u(number, position)
  inner join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = u.number
  where u.position <= i.indnkeyatts
  order by u.position
)
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as c on c.oid = i.indexrelid
where i.indrelid = %s and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
  and not exists (
    select from unnest(i.indkey::int2[]) as u(number)
    inner join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = u.number
    where not a.attnotnull
  )
order by i.indisprimary desc, i.indnkeyatts, c.relname
limit 1
"""
_TIMES: Final = ("timestamp with time zone", "timestamp without time zone")


@dataclass(frozen=True, slots=True)
class ScaffoldColumn:
    """A column of the table."""

    name: str
    sql: str
    """The name as SQL writes it, in quotes if it needs them."""
    python: str
    """The name as a parameter and a field of Python."""
    not_null: bool
    computed: bool
    """True if the server makes each value: an identity or a generated column."""
    default: str | None
    type: str

    @property
    def is_touched(self) -> bool:
        """Report whether each update sets it to the time: ``updated_at``."""
        return self.name == "updated_at" and self.type in _TIMES

    @property
    def is_left_to_default(self) -> bool:
        """Report whether an insert leaves it to its default: a key, a time, or the tenant of the session."""
        default = (self.default or "").lower()
        return self.computed or bool(
            re.search(r"now\(\)|current_timestamp|current_setting|uuid|nextval", default)
        )


@dataclass(frozen=True, slots=True)
class ScaffoldTable:
    """A table with its columns in order, and the columns of its key; without a key there are none."""

    schema: str
    name: str
    sql: str
    columns: tuple[ScaffoldColumn, ...]
    key: tuple[ScaffoldColumn, ...]
    is_writable: bool

    @property
    def folder(self) -> str:
        """The folder below the SQL folder: ``shop/customers``, or ``customers`` in the schema public."""
        parts = [_plain(self.name)] if self.schema == "public" else [_plain(self.schema), _plain(self.name)]
        return "/".join(parts)

    @property
    def alias(self) -> str:
        """The alias that the queries give the table: its first letter."""
        letter = re.search("[a-z]", self.name.lower())
        return letter[0] if letter else "t"

    @property
    def thing(self) -> str:
        """The word for one row: ``customer``, ``order line``."""
        return singular(self.name).replace("_", " ")

    @property
    def row(self) -> str:
        """The name of the row type: ``Customer``."""
        return row_name(singular(self.name)) or "Item"


def read_table(connection: Connection[Any], name: str) -> ScaffoldTable:
    """Read a table by its name, with or without its schema.

    Raises ``PlainsqlError`` if there is no such table, or several schemas have one.
    """
    known = connection.execute(_TABLES).fetchall()
    schema, _, table = name.rpartition(".")
    found = [each for each in known if each[2] == table and schema in ("", each[1])]
    if not found:
        names = [f"{each[1]}.{each[2]}" for each in known]
        meant = get_close_matches(name, [*names, *(each[2] for each in known)], 1, 0.6)
        hint = f"did you mean {meant[0]}?" if meant else f"name one of {', '.join(names[:8]) or 'none'}"
        raise PlainsqlError(f"there is no table {name!r} in the migrations", hint=hint)
    if len(found) > 1:
        names = [f"{each[1]}.{each[2]}" for each in found]
        raise PlainsqlError(f"{name!r} is a table of several schemas", hint=f"name one: {', '.join(names)}")
    oid, schema, table, kind, sql = found[0]
    columns = []
    taken: set[str] = set()
    for column, quoted, *facts in connection.execute(_COLUMNS, (oid,)):
        python = _unique(_plain(column), taken)
        taken.add(python)
        columns.append(ScaffoldColumn(column, quoted, python, *facts))
    key = connection.execute(_KEY, (oid,)).fetchone()
    by_name = {column.name: column for column in columns}
    return ScaffoldTable(
        schema,
        table,
        sql,
        tuple(columns),
        tuple(by_name[each] for each in key[0]) if key else (),
        kind in ("r", "p", "f"),
    )


def _plain(name: str) -> str:
    """Return a name that a folder, a file and a parameter may have."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "item"
    plain = f"n{plain}" if plain[0].isdigit() else plain
    return f"{plain}_" if iskeyword(plain) else plain


def _unique(name: str, taken: set[str]) -> str:
    number, first = 1, name
    while name in taken:
        number += 1
        name = f"{first}_{number}"
    return name
