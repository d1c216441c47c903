"""The hint for a name without a schema that does not exist, if other schemas have it."""

from __future__ import annotations

import re
from typing import Any, Final

from plainsql.analysis import RefusedError
from plainsql.search_path import quoted_path

__all__ = ["hint_of_schemas"]

_NAME: Final = re.compile(r'"((?:[^"]|"")+)"|([^\W\d][\w$]*)')
_CATALOGS: Final = {
    "42P01": ("pg_class", "relname", "relnamespace", "o.relkind in ('r', 'v', 'm', 'f', 'p')"),
    "42883": ("pg_proc", "proname", "pronamespace", "true"),
    "42704": ("pg_type", "typname", "typnamespace", "true"),
}
"""The catalog of the missing object, by the SQLSTATE: its name, and its columns."""


def hint_of_schemas(connection: Any, sql: str, error: RefusedError) -> str | None:
    """Return the hint that names the schemas of a missing relation, function or type.

    None if the name has a schema, if no other schema has it, or if the search path has it, and the refusal is
    for another reason.
    """
    if error.sqlstate not in _CATALOGS or error.position is None:
        return None
    found = _NAME.match(sql, error.position - 1)
    if found is None or sql[found.end() : found.end() + 1] == ".":
        return None
    quoted, plain = found.groups()
    name = plain.lower() if quoted is None else quoted.replace('""', '"')
    catalog, named, schema, kind = _CATALOGS[error.sqlstate]
    rows = connection.execute(
        f"""
        select distinct n.nspname, n.nspname = any(current_schemas(true))
        from pg_catalog.{catalog} as o
        inner join pg_catalog.pg_namespace as n on n.oid = o.{schema}
        where o.{named} = %s and {kind} and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        order by n.nspname
        """.encode(),
        [name],
    ).fetchall()
    schemas = [each for each, _ in rows]
    if not schemas or any(is_visible for _, is_visible in rows):
        return None
    written = [f"{quoted_path((each,))}.{quoted_path((name,))}" for each in schemas]
    if len(schemas) > 1:
        return (
            f"write {' or '.join(written)}: {len(schemas)} schemas have one; or set search_path in "
            "[tool.plainsql]"
        )
    (path,) = connection.execute("select current_schemas(false)::text[]").fetchone() or ([],)
    setting = _toml(quoted_path((*schemas, *path)))
    return f"write {written[0]}, or set search_path = {setting} in [tool.plainsql]"


def _toml(text: str) -> str:
    """Return a text as TOML writes it, without backslashes if possible."""
    if '"' in text and "'" not in text and "\\" not in text:
        return f"'{text}'"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
