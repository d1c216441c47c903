"""The migration of the triggers that record external writes in the outbox.

Names of tables and columns are data here: any name that PostgreSQL accepts is quoted for its place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from plainsql.cache.keys import MAX_TAGS
from plainsql.errors import BindError, printable

__all__ = ["OUTBOX", "SEARCH_PATH", "Migration", "function_body", "migration", "qualified"]

OUTBOX: Final = "plainsql.cache_outbox"
"""The default table of the records."""

SEARCH_PATH: Final = "pg_catalog, pg_temp"
"""The search path of the functions, as PostgreSQL writes it.

A write to a table runs its function with the rights of the role that made the function. Types are looked up
in pg_temp first unless it is named last, and any role may create one there, as a domain with a check.
"""

_MAX_NAME_BYTES: Final = 63
"""Bytes of a name that PostgreSQL keeps."""


class Migration(NamedTuple):
    """The text of a migration and of its rollback."""

    apply: str
    rollback: str


def migration(
    tables: Mapping[str, Sequence[str]], *, outbox: str = OUTBOX, before: Mapping[str, str] | None = None
) -> Migration:
    """Return a migration that has all writes to tables recorded.

    ``tables``: by name with schema, the columns that reads are bound by; without columns a record has the
    table only. A statement writes one row of the outbox, not one for each row that it changes.

    ``before``: for tables whose writes are recorded already, the ``pg_get_functiondef`` of their function.
    Then the function alone is replaced. The rollback restores it, but for its search path and its privileges.

    Raises ``BindError`` if a name has no schema.
    """
    schema, _ = _split(outbox)
    before = before or {}
    start = (
        "-- Notes what is written to tables with cached reads, whoever writes: plainsql tells the cache.\n"
        "-- Locks: share row exclusive on each table while its triggers are made, which takes milliseconds\n"
        "-- and waits for writers. Undone by the rollback; nothing but the notes is lost.\n"
        f"create schema if not exists {_name(schema)};\n\n"
        f"create table if not exists {qualified(outbox)} (\n"
        "  id bigint generated always as identity primary key,\n"
        "  table_name text not null,\n"
        "  known jsonb not null,\n"
        "  noted_at timestamptz not null default now()\n"
        ");\n"
    )
    apply, rollback = [start], []
    for table, columns in tables.items():
        if table in before:
            function = _defined(before[table])
            apply.append(_definition(function, table, columns, outbox))
            rollback.append(
                f"{before[table].rstrip().rstrip(';')};\n"
                f"alter function {function} set search_path = {SEARCH_PATH};\n"
                f"{_closed(function)}"
            )
            continue
        function = _function(table, outbox)
        apply.append(_definition(function, table, columns, outbox))
        apply.append(_triggers(function, table))
        rollback += [
            f"drop trigger note_for_cache_{event} on {qualified(table)};\n" for event in _EVENTS.values()
        ]
        rollback.append(f"drop function {function};\n")
    rollback.append(_drop_unused(outbox))
    return Migration("\n".join(apply), "".join(rollback))


def function_body(table: str, columns: Sequence[str], outbox: str = OUTBOX) -> str:
    """Return the body of the function that records writes to a table, as PostgreSQL keeps it."""
    into = f"insert into {qualified(outbox)} (table_name, known)"
    known = " || ".join(_known(column) for column in columns) or "'{}'::jsonb"
    # With an alias: a column may have the name of a variable of the language, such as new or found.
    listed = ", ".join(f"n.{_name(column)}" for column in columns) or "1 as changed"
    branches = "".join(
        f"  {'if' if event == 'INSERT' else 'elsif'} tg_op = '{event}' then\n"
        f"    {into}\n"
        f"    select {_text(table)}, {known}\n"
        f"    from ({rows.replace('{}', listed)}) as r\n"
        f"    having count(*) > 0;\n"
        for event, rows in _ROWS.items()
    )
    return (
        "\nbegin\n"
        f"{branches}"
        "  else\n"
        f"    {into} values ({_text(table)}, '{{}}');\n"
        "  end if;\n"
        "  return null;\n"
        "end\n"
    )


_EVENTS = {"INSERT": "insert", "UPDATE": "update", "DELETE": "delete", "TRUNCATE": "truncate"}
_ROWS = {
    "INSERT": "select {} from new_rows as n",
    "DELETE": "select {} from old_rows as n",
    # A row that moves from one partition to another changes both.
    "UPDATE": "select {} from old_rows as n union all select {} from new_rows as n",
}
_REFERENCING = {
    "INSERT": " referencing new table as new_rows",
    "DELETE": " referencing old table as old_rows",
    "UPDATE": " referencing old table as old_rows new table as new_rows",
    "TRUNCATE": "",
}


def _drop_unused(outbox: str) -> str:
    """Return the end of a rollback: the outbox goes with the last function that writes to it."""
    schema, _ = _split(outbox)
    body = (
        "\nbegin\n"
        "  if not exists (\n"
        "    select\n"
        "    from pg_catalog.pg_proc as p\n"
        f"    where p.pronamespace = {_text(_name(schema))}::regnamespace\n"
        "      and starts_with(p.proname, 'note_')\n"
        "  ) then\n"
        f"    drop table {qualified(outbox)};\n"
        "  end if;\n"
        "end\n"
    )
    return f"do {_dollar_quoted(body)};\n"


def _definition(function: str, table: str, columns: Sequence[str], outbox: str) -> str:
    _, name = _split(table)
    shown = printable(name).replace("\n", "\\x0a")
    body = _dollar_quoted(function_body(table, columns, outbox))
    return (
        f"-- {shown}\n"
        # A role that may write to the table need not have rights on the outbox.
        f"create or replace function {function} returns trigger\n"
        f"language plpgsql security definer set search_path = {SEARCH_PATH} as {body};\n"
        "\n"
        f"{_closed(function)}"
        "\n"
        # For the analysis of what a write changes, which a trigger hides.
        f"comment on function {function} is {_text(f'plainsql: writes {outbox}')};\n"
    )


def _closed(function: str) -> str:
    """Return the statement that keeps other roles from using a function as a trigger of their own tables.

    Firing the trigger needs no right.
    """
    return f"revoke all on function {function} from public;\n"


def _triggers(function: str, table: str) -> str:
    return "\n".join(
        f"create trigger note_for_cache_{event.lower()}\n"
        f"after {event.lower()} on {qualified(table)}{referencing}\n"
        f"for each statement execute function {function};\n"
        for event, referencing in _REFERENCING.items()
    )


def _known(column: str) -> str:
    name = f"r.{_name(column)}"
    return (
        f"case when count(distinct {name}) > {MAX_TAGS - 1} then '{{}}'::jsonb"
        f" else jsonb_build_object({_text(column)}, jsonb_agg(distinct {name})) end"
    )


def _function(table: str, outbox: str) -> str:
    """Return the name of the function for a table without one, with its schema and parentheses.

    Two tables never share one: ``a_b.c`` is not ``a.b_c``, and PostgreSQL cuts long names.
    """
    schema, _ = _split(outbox)
    of_schema, of_table = _split(table)
    name = f"note_{of_schema}_{of_table}"
    if "_" in of_schema or len(name.encode()) > _MAX_NAME_BYTES:
        digest = hashlib.sha256(table.encode()).hexdigest()[:8]
        cut = name.encode()[: _MAX_NAME_BYTES - 9].decode(errors="ignore")
        name = f"{cut}_{digest}"
    return f"{_name(schema)}.{_name(name)}()"


_DEFINED: Final = re.compile(r"CREATE OR REPLACE FUNCTION (.*?\(\))\n RETURNS trigger\n", re.DOTALL)


def _defined(definition: str) -> str:
    """Return the name of the function that PostgreSQL's definition is of."""
    found = _DEFINED.match(definition)
    if found is None:
        raise BindError("before: expected what pg_get_functiondef() says of a trigger function")
    return found[1]


def _split(name: str) -> tuple[str, str]:
    schema, dot, table = name.partition(".")
    if not (dot and schema and table):
        raise BindError(f"expected a table with its schema, got {name!r}", hint="write it as 'public.orders'")
    return schema, table


def qualified(name: str) -> str:
    """Return the name of a table with its schema as SQL.

    Raises ``BindError`` if it has no schema.
    """
    return ".".join(_name(part) for part in _split(name))


def _name(name: str) -> str:
    if re.fullmatch("[a-z_][a-z0-9_]*", name):
        return f'"{name}"' if name in _RESERVED_WORDS else name
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    quoted = "'" + value.replace("'", "''") + "'"
    # The session's standard_conforming_strings decides what a backslash is in a text without the E.
    return "E" + quoted.replace("\\", "\\\\") if "\\" in value else quoted


def _dollar_quoted(body: str) -> str:
    tag = "$$"
    number = 0
    while tag in body:
        number += 1
        tag = f"$body{number}$"
    return f"{tag}{body}{tag}"


# The words that PostgreSQL 18 does not accept unquoted as the name of a schema, a table or a column.
_RESERVED = """
all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate
collation column concurrently constraint create cross current_catalog current_date current_role
current_schema current_time current_timestamp current_user default deferrable desc distinct do else end
except false fetch for foreign freeze from full grant group having ilike in initially inner intersect
into is isnull join lateral leading left like limit localtime localtimestamp natural not notnull null
offset on only or order outer overlaps placing primary references returning right select session_user
similar some symmetric system_user table tablesample then to trailing true union unique user using
variadic verbose when where window with
"""
_RESERVED_WORDS = frozenset(_RESERVED.split())
