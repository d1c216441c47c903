"""The lints of a schema, which ``check --schema`` reports: faults of tables, indexes and policies.

Each is proved from the catalogs of the scratch database. None is about names or style.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["SCHEMA_LINTS", "USER_RELATIONS", "SchemaLint", "quoted"]

SCHEMA_LINTS: Final = {
    "foreign-key-unindexed": "a foreign key whose columns no index begins with",
    "missing-primary-key": "a table without a primary key",
    "policy-hides-tenant": "a policy whose tenant the planner does not know, on a table with a vector index",
    "policy-mixes-tenants": "a large table whose one vector index serves the searches of all its tenants",
    "policy-per-row": "a policy that evaluates a function again for each row",
    "policy-without-row-security": "a policy on a table whose row security is not enabled",
    "redundant-index": "an index whose work another index of the table does",
    "row-security-without-policy": "row security without a policy: it admits no row",
    "view-bypasses-policies": "a view that reads with its owner's rights, past the policies of its caller",
    "wide-grant": "a grant of a privilege that no query needs, such as the rest of `grant all`",
}
"""The lints, each with its meaning."""

USER_RELATIONS: Final = """
  n.nspname <> 'information_schema'
  and n.nspname !~ '^pg_'
  and c.relpersistence <> 't'
  and c.relname not in ('_yoyo_log', '_yoyo_version', 'yoyo_lock', 'plainsql_migration')
  and c.relname !~ '^_yoyo_migration'
  and not exists (
    select
    from pg_catalog.pg_depend as x
    where x.classid = 'pg_catalog.pg_class'::regclass and x.objid = c.oid and x.deptype = 'e'
  )
"""
"""The condition for relations ``c`` in schemas ``n`` that the migrations make.

An extension is responsible for its own."""


@dataclass(frozen=True, slots=True)
class SchemaLint:
    """One lint of an object of the database."""

    name: str
    message: str
    detail: str
    hint: str
    words: tuple[tuple[str, ...], ...]
    """Words or phrases of the statement that makes the object, as alternatives: the first that fits is its
    place. An allowance above any of them counts."""
    relation: str
    """The table or view, if no statement has the words."""
    large: str = ""
    """The table, as ``schema.table``, that it is a lint for if production has many rows of it."""


def quoted(name: str) -> str:
    """Return a name as an identifier of SQL, for a message."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'
