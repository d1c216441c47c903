"""Writes that plainsql does not make: triggers note them in a table, in their own transaction.

What stands in the table is committed, and it stands there until the cache has heard of it: a crash in between
loses nothing. Between such a write's commit and the moment the table is read, the cache serves what was.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from plainsql.cache.cache import Cache
from plainsql.cache.keys import MOST_TAGS, merge, touch
from plainsql.errors import BindError, CacheError

__all__ = ["OUTBOX", "Begin", "Fetch", "Migration", "drain", "keep_draining", "migration"]

OUTBOX = "plainsql.cache_outbox"
"""Where changes are noted, if nothing else is said."""

Fetch: TypeAlias = Callable[[str, int], Awaitable[Sequence[Mapping[str, Any]]]]
"""Runs a statement with one parameter and returns its rows, by the names of their columns."""

Begin: TypeAlias = Callable[[], AbstractAsyncContextManager[Fetch]]
"""Opens a transaction, which an error rolls back."""


class Migration(NamedTuple):
    """The text of a migration and of its rollback."""

    apply: str
    rollback: str


def migration(
    tables: Mapping[str, Sequence[str]], *, outbox: str = OUTBOX, before: Mapping[str, str] | None = None
) -> Migration:
    """Return a migration that has all writes of tables noted, by whomever.

    ``tables``: by name with schema, the columns that reads are bound by; without, only that the table has
    changed. Statements pay one row of the outbox each, not one for each row that they change.

    ``before``: of tables whose writes are noted already, as ``create or replace function …``, by what; that
    function alone is then replaced, and put back by the rollback.

    Raises ``BindError`` where a name has no schema.
    """
    schema, _ = _split(outbox)
    before = before or {}
    start = (
        "-- Notes what is written to tables with cached reads, whoever writes: plainsql tells the cache.\n"
        "-- Locks: share row exclusive on each table while its triggers are made, which takes milliseconds\n"
        "-- and waits for writers. Undone by the rollback; nothing but the notes is lost.\n"
        f"create schema if not exists {_name(schema)};\n\n"
        f"create table if not exists {_qualified(outbox)} (\n"
        "  id bigint generated always as identity primary key,\n"
        "  table_name text not null,\n"
        "  known jsonb not null,\n"
        "  noted_at timestamptz not null default now()\n"
        ");\n"
    )
    apply, rollback = [start], []
    for table, columns in tables.items():
        apply.append(_function_of(table, columns, outbox))
        if table in before:
            rollback.append(f"{before[table].rstrip().rstrip(';')};\n")
            continue
        apply.append(_triggers(table, outbox))
        rollback += [
            f"drop trigger note_for_cache_{event} on {_qualified(table)};\n" for event in _EVENTS.values()
        ]
        rollback.append(f"drop function {_function(table, outbox)};\n")
    rollback.append(_drop_unused(outbox))
    return Migration("\n".join(apply), "".join(rollback))


_EVENTS = {"INSERT": "insert", "UPDATE": "update", "DELETE": "delete", "TRUNCATE": "truncate"}
_ROWS = {
    "INSERT": "select {} from new_rows",
    "DELETE": "select {} from old_rows",
    # A row that moves from one partition to another changes both.
    "UPDATE": "select {} from old_rows union all select {} from new_rows",
}
_REFERENCING = {
    "INSERT": " referencing new table as new_rows",
    "DELETE": " referencing old table as old_rows",
    "UPDATE": " referencing old table as old_rows new table as new_rows",
    "TRUNCATE": "",
}


def _drop_unused(outbox: str) -> str:
    """The end of a rollback: the outbox goes with the last function that writes to it."""
    schema, _ = _split(outbox)
    return (
        "do $$\n"
        "begin\n"
        "  if not exists (\n"
        "    select\n"
        "    from pg_catalog.pg_proc as p\n"
        f"    where p.pronamespace = {_text(_name(schema))}::regnamespace\n"
        "      and starts_with(p.proname, 'note_')\n"
        "  ) then\n"
        f"    drop table {_qualified(outbox)};\n"
        "  end if;\n"
        "end\n"
        "$$;\n"
    )


def _function_of(table: str, columns: Sequence[str], outbox: str) -> str:
    _, name = _split(table)
    function, into = _function(table, outbox), f"insert into {_qualified(outbox)} (table_name, known)"
    known = " || ".join(_known(column) for column in columns) or "'{}'::jsonb"
    listed = ", ".join(_name(column) for column in columns) or "1 as changed"
    branches = "".join(
        f"  {'if' if event == 'INSERT' else 'elsif'} tg_op = '{event}' then\n"
        f"    {into}\n"
        f"    select {_text(table)}, {known}\n"
        f"    from ({rows.replace('{}', listed)}) as r\n"
        f"    having count(*) > 0;\n"
        for event, rows in _ROWS.items()
    )
    return (
        f"-- {name}\n"
        # Whoever may write to the table need not have rights on the outbox.
        f"create or replace function {function} returns trigger\n"
        "language plpgsql security definer set search_path = pg_catalog as $$\n"
        "begin\n"
        f"{branches}"
        "  else\n"
        f"    {into} values ({_text(table)}, '{{}}');\n"
        "  end if;\n"
        "  return null;\n"
        "end\n"
        "$$;\n"
        "\n"
        # For the analysis of what a write changes: a trigger hides it.
        f"comment on function {function} is {_text(f'plainsql: writes {outbox}')};\n"
    )


def _triggers(table: str, outbox: str) -> str:
    return "\n".join(
        f"create trigger note_for_cache_{event.lower()}\n"
        f"after {event.lower()} on {_qualified(table)}{referencing}\n"
        f"for each statement execute function {_function(table, outbox)};\n"
        for event, referencing in _REFERENCING.items()
    )


def _known(column: str) -> str:
    name = f"r.{_name(column)}"
    return (
        f"case when count(distinct {name}) > {MOST_TAGS - 1} then '{{}}'::jsonb"
        f" else jsonb_build_object({_text(column)}, jsonb_agg(distinct {name})) end"
    )


def _function(table: str, outbox: str) -> str:
    schema, _ = _split(outbox)
    return f"{_name(schema)}.{_name('note_' + '_'.join(_split(table)))}()"


def _split(name: str) -> tuple[str, str]:
    schema, dot, table = name.partition(".")
    if not (dot and schema and table):
        raise BindError(f"expected a table with its schema, got {name!r}", hint="write it as 'public.orders'")
    return schema, table


def _qualified(name: str) -> str:
    return ".".join(_name(part) for part in _split(name))


def _name(name: str) -> str:
    if re.fullmatch("[a-z_][a-z0-9_]*", name):
        return f'"{name}"' if name in _RESERVED_WORDS else name
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


_RESERVED = """
all analyse analyze and any array as asc asymmetric both case cast check collate column constraint
create current_date current_role current_time current_timestamp current_user default deferrable desc
distinct do else end except false fetch for foreign from grant group having in initially intersect
into lateral leading limit localtime localtimestamp not null offset on only or order placing primary
references returning select session_user some symmetric table then to trailing true union unique
user using variadic when where window with
"""
_RESERVED_WORDS = frozenset(_RESERVED.split())


async def drain(cache: Cache, begin: Begin, *, outbox: str = OUTBOX, limit: int = 1000) -> int:
    """Tell the cache what stands in the outbox, and take it out; return how many notes it was.

    Any number of processes may do so at once. Raises ``CacheError`` where the store does not answer: the
    notes then stay.
    """
    statement = (
        f"delete from {_qualified(outbox)} where id in "
        f"(select id from {_qualified(outbox)} order by id limit $1 for update skip locked) "
        "returning table_name, known::text as known"
    )
    async with begin() as fetch:
        rows = await fetch(statement, limit)
        if rows:
            # Before the commit that takes them out: told twice is no harm, not told would be.
            changes = (
                touch(row["table_name"], json.loads(row["known"], parse_float=Decimal)) for row in rows
            )
            await cache.touch_all(merge(changes), required=True, notes=len(rows))
    return len(rows)


async def keep_draining(
    cache: Cache,
    begin: Begin,
    *,
    outbox: str = OUTBOX,
    every: float = 0.1,
    errors: tuple[type[Exception], ...] = (OSError,),
) -> None:
    """Drain until cancelled: again at once while there is much, else after ``every`` seconds.

    Where the store does not answer, or the database raises one of ``errors``, it tries again, after up to
    5 s.
    """
    pause = every
    retried: tuple[type[Exception], ...] = (CacheError, *errors)
    while True:
        try:
            found = await drain(cache, begin, outbox=outbox)
            pause = 0.0 if found >= 1000 else every
        except retried:
            pause = min(max(pause, every) * 2, 5.0)
        await asyncio.sleep(pause)
