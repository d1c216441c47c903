"""The layers that a command works on: the named ones, or all that the database has."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import psycopg

from plainsql.errors import SettingsError
from plainsql.layer_folders import Layer, known_layer
from plainsql.layer_folders import known_layers as known_layers_by_name

__all__ = ["Layer", "known_layers", "present_layers", "report_left_out_schemas"]

_SCHEMAS_WITH_TABLES = """
select distinct n.nspname
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where
  c.relkind in ('r', 'p')
  and n.nspname not in ('information_schema', 'public')
  and n.nspname !~ '^pg_'
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
order by n.nspname
"""


def known_layers(names: Sequence[str] = ()) -> list[Layer]:
    """Return the project's layers and those that come with plainsql, by name; only those of ``names``.

    Raises ``SettingsError`` if a name is not among them.
    """
    if names:
        return [known_layer(name) for name in sorted(names)]
    known = known_layers_by_name()
    return [known[name] for name in sorted(known)]


def present_layers(connection: psycopg.Connection[Any], names: Sequence[str] = ()) -> list[Layer]:
    """Return the layers of ``names``, by default all, that have a schema in the database.

    Raises ``SettingsError`` if it has no schema of a named layer, or of none at all.
    """
    layers = known_layers(names)
    schemas = {name for (name,) in connection.execute("select nspname from pg_namespace")}
    present = [layer for layer in layers if layer.name in schemas]
    missing = [layer.name for layer in layers if layer.name not in schemas]
    if names and missing:
        raise SettingsError(
            f"the database has no schema {missing[0]}", hint=f"plainsql migrate --layer {missing[0]}"
        )
    if not present:
        raise SettingsError(
            f"the database has none of the layers {', '.join(missing)}", hint="plainsql migrate"
        )
    return present


def report_left_out_schemas(connection: psycopg.Connection[Any], layers: Sequence[Layer]) -> None:
    """Print on standard error the schemas with tables that are left out, as they are none of ``layers``."""
    names = {layer.name for layer in layers}
    others = [name for (name,) in connection.execute(_SCHEMAS_WITH_TABLES) if name not in names]
    for name in others:
        print(
            f"left out: the schema {name} is no layer: there is no folder of migrations of that name",
            file=sys.stderr,
        )
