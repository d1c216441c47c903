"""The project's own types in ``[tool.plainsql.types]``, looked up in the database."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from plainsql.analysis.model import ColumnRef
from plainsql.codegen.own_types import NO_OWN_TYPES, OwnType, OwnTypes
from plainsql.errors import Place, SettingsError
from plainsql.settings import Project

__all__ = ["own_types_of"]

K = TypeVar("K")

_TABLE: Final = "[tool.plainsql.types]"
_PATH: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+")
_FIELDS: Final = ("type", "from_db", "to_db")
_DOMAIN: Final = "domain:"

_COLUMNS: Final = """
select n.nspname, c.relname, a.attname
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'c')
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_toast%%'
  and a.attname = %(column)s
  and (
    %(table)s::text is null
    or c.relname = %(table)s and n.nspname = coalesce(
      %(schema)s,
      (
        select s.nspname
        from pg_catalog.pg_class as o
        inner join pg_catalog.pg_namespace as s on s.oid = o.relnamespace
        where o.relname = %(table)s and s.nspname = any(pg_catalog.current_schemas(true))
        order by array_position(pg_catalog.current_schemas(true), s.nspname)
        limit 1
      )
    )
  )
"""
_COLUMN_NAMES: Final = """
select distinct a.attname
from pg_catalog.pg_class as c
inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.oid = pg_catalog.to_regclass(concat(quote_ident(%(schema)s) || '.', quote_ident(%(table)s)))
"""
_FOREIGN_KEYS: Final = """
select n.nspname, c.relname, a.attname, rn.nspname, rc.relname, ra.attname
from pg_catalog.pg_constraint as k
cross join lateral unnest(k.conkey, k.confkey) as u (own, other)
inner join pg_catalog.pg_class as c on c.oid = k.conrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum = u.own
inner join pg_catalog.pg_class as rc on rc.oid = k.confrelid
inner join pg_catalog.pg_namespace as rn on rn.oid = rc.relnamespace
inner join pg_catalog.pg_attribute as ra on ra.attrelid = rc.oid and ra.attnum = u.other
where k.contype = 'f'
"""
_TYPE: Final = """
select n.nspname, t.typname, t.typtype, t.typelem <> 0 and t.typlen = -1
from pg_catalog.pg_type as t
inner join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
where t.typname = %(name)s and n.nspname = coalesce(
  %(schema)s,
  (
    select s.nspname
    from pg_catalog.pg_type as o
    inner join pg_catalog.pg_namespace as s on s.oid = o.typnamespace
    where o.typname = %(name)s and s.nspname = any(pg_catalog.current_schemas(true))
    order by array_position(pg_catalog.current_schemas(true), s.nspname)
    limit 1
  )
)
"""


def own_types_of(connection: Any, project: Project) -> OwnTypes:
    """Return the own types of a project, by the columns and types of a database.

    Raises ``SettingsError`` if a key matches nothing, if two keys contradict each other, or if a value is of
    another form.
    """
    if not project.types:
        return NO_OWN_TYPES
    columns: dict[ColumnRef, tuple[OwnType, str]] = {}
    names: dict[str, tuple[OwnType, str]] = {}
    types: dict[tuple[str, str], tuple[OwnType, str]] = {}
    places: dict[OwnType, Place] = {}
    for key, value in project.types.items():
        place = _place(project, key)
        own = _own_type(key, value, place)
        places.setdefault(own, place)
        if key.startswith("*."):
            name = key.removeprefix("*.")
            if not connection.execute(_COLUMNS, _named("", "", name)).fetchone():
                raise _nothing(key, "no table has a column of this name", "correct the name", place)
            _put(names, name, own, key, place)
            continue
        column = None if key.startswith(_DOMAIN) else _column(connection, key)
        type_ = _type(connection, key, place)
        if column is not None and type_ is not None:
            raise SettingsError(
                f"{_TABLE}: {key!r} is the column {column}, and the type {'.'.join(type_)}",
                place=place,
                hint=f"write {column} for the column",
            )
        if column is not None:
            _put(columns, column, own, key, place)
        elif type_ is not None:
            _put(types, type_, own, key, place)
        else:
            raise _nothing(key, *_meant(connection, key), place)
    own_of = _plain(columns)
    return OwnTypes(own_of, _plain(names), _plain(types), places, _referring(connection, own_of))


def _referring(connection: Any, columns: Mapping[ColumnRef, OwnType]) -> dict[ColumnRef, OwnType]:
    """Return the columns that foreign keys lead from to one with an own type, if it is one type alone."""
    targets: dict[ColumnRef, set[ColumnRef]] = {}
    for row in connection.execute(_FOREIGN_KEYS) if columns else ():
        targets.setdefault(ColumnRef(*row[:3]), set()).add(ColumnRef(*row[3:]))
    found: dict[ColumnRef, OwnType] = {}
    for column in targets:
        reached, pending = {column}, [column]
        while pending:
            new = targets.get(pending.pop(), set()) - reached
            reached |= new
            pending += new
        types = {columns[each] for each in reached - {column} if each in columns}
        if len(types) == 1:
            found[column] = types.pop()
    return found


def _plain(found: Mapping[K, tuple[OwnType, str]]) -> dict[K, OwnType]:
    return {target: own for target, (own, _) in found.items()}


def _put(found: dict[K, tuple[OwnType, str]], target: K, own: OwnType, key: str, place: Place) -> None:
    known, first = found.setdefault(target, (own, key))
    if known != own:
        raise SettingsError(
            f"{_TABLE}: {first!r} and {key!r} mean the same, and differ: {known.path}, {own.path}",
            place=place,
            hint="keep one of them",
        )


def _own_type(key: str, value: object, place: Place) -> OwnType:
    table = {"type": value} if isinstance(value, str) else value
    if not isinstance(table, dict) or "type" not in table:
        raise SettingsError(
            f"{_TABLE}: {key!r}: expected the path of a type, or a table with type, got {_shown(table)}",
            place=place,
            hint=f'quote the whole key: "{key}.…" = "shop.types.CustomerId"'
            if isinstance(table, dict) and not table.keys() & {*_FIELDS}
            else 'write "shop.types.CustomerId", or { type = …, from_db = …, to_db = … }',
        )
    for name, path in table.items():
        if name not in _FIELDS:
            raise SettingsError(
                f"{_TABLE}: {key!r}: unknown key {name!r}",
                place=place,
                hint=f"the keys are {', '.join(_FIELDS)}",
            )
        if not isinstance(path, str) or not _PATH.fullmatch(path):
            got = repr(path) if isinstance(path, str) else type(path).__name__
            raise SettingsError(
                f"{_TABLE}: {key!r}: expected an import path for {name}, got {got}",
                place=place,
                hint="write the module and the name: shop.types.CustomerId",
            )
    if "to_db" in table and "from_db" not in table:
        raise SettingsError(
            f"{_TABLE}: {key!r}: expected from_db with to_db, got none",
            place=place,
            hint="name the function, or the class, that makes a value of one that arrives",
        )
    return OwnType(table["type"], table.get("from_db", ""), table.get("to_db", ""))


def _shown(value: object) -> str:
    return "a table without it" if isinstance(value, dict) else type(value).__name__


def _named(schema: str, table: str, column: str) -> dict[str, str | None]:
    return {"schema": schema or None, "table": table or None, "column": column}


def _column(connection: Any, key: str) -> ColumnRef | None:
    table, _, column = key.rpartition(".")
    schema, _, table = table.rpartition(".")
    if not table:
        return None
    row = connection.execute(_COLUMNS, _named(schema, table, column)).fetchone()
    return ColumnRef(*row) if row is not None else None


def _type(connection: Any, key: str, place: Place) -> tuple[str, str] | None:
    schema, _, name = key.removeprefix(_DOMAIN).rpartition(".")
    row = connection.execute(_TYPE, {"schema": schema or None, "name": name}).fetchone()
    if row is None:
        return None
    found, kind, is_array = (row[0], row[1]), row[2], row[3]
    if key.startswith(_DOMAIN) and kind != "d":
        raise SettingsError(
            f"{_TABLE}: {key!r}: {'.'.join(found)} is no domain", place=place, hint="write the name alone"
        )
    if is_array:
        raise SettingsError(
            f"{_TABLE}: {key!r} is a type of arrays",
            place=place,
            hint="name the type of the elements: an array is a list of them",
        )
    return found


def _meant(connection: Any, key: str) -> tuple[str, str]:
    """Return what is not there, and a hint."""
    table, _, column = key.removeprefix(_DOMAIN).rpartition(".")
    schema, _, table = table.rpartition(".")
    known = []
    if table and not key.startswith(_DOMAIN):
        names = {"schema": schema or None, "table": table}
        known = [row[0] for row in connection.execute(_COLUMN_NAMES, names)]
    close = difflib.get_close_matches(column, known, 1)
    what = "there is no such domain" if key.startswith(_DOMAIN) else "there is no such column or type"
    if close:
        return what, f"did you mean {key.removesuffix(column)}{close[0]}?"
    return (
        what,
        "write schema.table.column, *.column, or the catalog's name of a type, such as pg_catalog.int8",
    )


def _nothing(key: str, what: str, hint: str, place: Place) -> SettingsError:
    return SettingsError(f"{_TABLE}: {key!r} matches nothing: {what}", place=place, hint=hint)


def _place(project: Project, key: str) -> Place:
    """Return the place of a key in the settings."""
    file = project.root / "pyproject.toml"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    inside = False
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("["):
            inside = line.strip().startswith("[tool.plainsql") and "types]" in line
        for written in (f'"{key}"', f"'{key}'", key):
            if inside and line.lstrip().startswith(written):
                return Place(str(file), number, line.index(written) + 1, line)
    return Place(str(file))
