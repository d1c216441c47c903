"""Invalid indexes: a concurrent build that failed or was cut off leaves one behind.

PostgreSQL never uses it for reads, keeps it up to date with each write, and ``if not exists`` takes it for
done. A run drops the one that its own statement builds, and builds it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

import psycopg

from plainsql.migrate.connection import Connection
from plainsql.migrate.script import Script, Statement, tokens

__all__ = [
    "InProgressError",
    "drop_invalid",
    "invalid_indexes",
    "left_behind",
    "left_by_reindex",
    "names",
    "rebuilds",
]

_INVALID = """
select format('%I.%I', n.nspname, c.relname), c.relname, t.relname
from pg_index as i
inner join pg_class as c on c.oid = i.indexrelid
inner join pg_class as t on t.oid = i.indrelid
inner join pg_namespace as n on n.oid = c.relnamespace
where not i.indisvalid
  and c.relkind = 'i'
  and not exists (select 1 from pg_stat_progress_create_index as p where p.index_relid = i.indexrelid)
order by n.nspname, c.relname
"""

# A concurrent build holds this lock on the table from its beginning to its end. A vacuum holds it too.
_AT_WORK = """
select l.pid
from pg_locks as l
left join pg_stat_activity as a on a.pid = l.pid
where l.locktype = 'relation'
  and l.database = (select d.oid from pg_database as d where d.datname = current_database())
  and l.relation = to_regclass(%s)
  and l.mode = 'ShareUpdateExclusiveLock'
  and l.granted
  and l.pid <> pg_backend_pid()
  and a.backend_type is distinct from 'autovacuum worker'
"""

_OF_STATEMENT = """
select format('%%I.%%I', n.nspname, c.relname)
from pg_index as i
inner join pg_class as c on c.oid = i.indexrelid
inner join pg_namespace as n on n.oid = c.relnamespace
where i.indrelid = to_regclass(%s)
  and c.relname = (parse_ident(%s))[1]::name
  and c.relkind = 'i'
  and not i.indisvalid
"""


class InProgressError(Exception):
    """Another session may be building the index of a statement."""

    def __init__(self, index: str, pid: int) -> None:
        super().__init__(index, pid)
        self.index = index
        self.pid = pid


def drop_invalid(connection: Connection, statement: Statement) -> str | None:
    """Drop the invalid index of the name and table that a statement builds; return its name if there is one.

    A valid index is never dropped: first no other session may be at work on the table, then the index is read
    as invalid. A build that ends in between has made it valid before the read.

    Raises ``InProgressError`` if another session may be building it.
    """
    name, table = _built(statement) or (None, "")
    if name is None:
        return None
    with suppress(psycopg.errors.SyntaxError, psycopg.errors.InvalidParameterValue):  # a name with escapes
        at_work = connection.execute(_AT_WORK, (table,)).fetchone()
        found = connection.execute(_OF_STATEMENT, (table, name)).fetchone()
        if found is None:
            return None
        index = str(found[0])
        if at_work is not None:
            raise InProgressError(index, int(str(at_work[0])))
        # A limit would leave the index half dropped.
        (limit,) = connection.execute("select current_setting('lock_timeout')").fetchone() or ("0",)
        connection.execute("set lock_timeout = 0")
        connection.execute(f"drop index concurrently {index}".encode())
        connection.execute("select set_config('lock_timeout', %s, false)", (limit,))
        return index
    return None


def left_behind(connection: Connection) -> list[str]:
    """Return the qualified, quoted names of all invalid indexes except those that are being built."""
    with suppress(psycopg.Error):
        return [str(row[0]) for row in connection.execute(_INVALID.encode())]
    return []


def left_by_reindex(connection: Connection, statement: Statement) -> list[str]:
    """Return the invalid copies that ``reindex concurrently`` left behind, if a statement is one."""
    if statement.words[:1] != ("reindex",) or "concurrently" not in statement.words:
        return []
    return [name for name in left_behind(connection) if re.search(r'_cc(?:new|old)\d*"?$', name)]


def invalid_indexes(connection: Connection, script: Script, *, unnamed: bool = False) -> Iterator[str]:
    """Yield the invalid indexes that ``if not exists`` in a script would take for done, or build twice.

    An index that the script drops first is left out. With ``unnamed``, only the indexes of tables for which
    the script builds an index without a name: PostgreSQL chooses one, so none of them is known to be its own.
    """
    found = [tuple(map(str, row)) for row in connection.execute(_INVALID.encode())]
    for at, statement in enumerate(script.statements):
        built = _built(statement)
        if built is None or (unnamed and built[0] is not None):
            continue
        for qualified, index, table in found:
            dropped = any(
                earlier.words[:2] == ("drop", "index") and names(earlier, index)
                for earlier in script.statements[:at]
            )
            of_it = names(statement, index) or (built[0] is None and names(statement, table))
            if not dropped and of_it:
                yield qualified


def rebuilds(statement: Statement, indexes: Sequence[str]) -> bool:
    """Return True if the next run of a statement drops all of these indexes by itself."""
    built = _built(statement)
    return built is not None and built[0] is not None and all(_is_named(built[0], each) for each in indexes)


def _is_named(name: str, qualified: str) -> bool:
    return qualified.rpartition(".")[2].strip('"').lower() == name.strip('"').lower()


def names(statement: Statement, name: str) -> bool:
    """Return True if the text of a statement has a name."""
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", statement.text, re.IGNORECASE) is not None


def _built(statement: Statement) -> tuple[str | None, str] | None:
    """Return the name and the table, as written, of the index that a statement builds concurrently.

    The name is None if PostgreSQL chooses it; the result is None for any other statement.
    """
    parts = [
        (text.lower() if kind == "word" else text, text)
        for kind, _, text in tokens(statement.text)
        if kind not in ("space", "line_comment", "block_comment")
    ]
    words = [word for word, _ in parts]
    at = 2 if words[1:2] == ["unique"] else 1
    if words[:1] != ["create"] or words[at : at + 2] != ["index", "concurrently"]:
        return None
    at += 2
    if words[at : at + 3] == ["if", "not", "exists"]:
        at += 3
    name = None
    if words[at : at + 1] != ["on"]:
        name, at = parts[at][1] if at < len(parts) else None, at + 1
    if words[at : at + 1] != ["on"]:
        return None
    at += 2 if words[at + 1 : at + 2] == ["only"] else 1
    table = [parts[at][1]] if at < len(parts) else []
    while words[at + 1 : at + 2] == ["."] and at + 2 < len(parts):
        table.append(parts[at + 2][1])
        at += 2
    return name, ".".join(table)
