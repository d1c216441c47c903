"""The database of a restore: a new one under another name, renamed to the target's when it is whole.

A killed restore leaves a database with such a name. Its session held an advisory lock of the same number, and
the next restore on the server drops every such database whose lock is free.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
from psycopg import sql

from plainsql.backup.contents import Locale, read_locale
from plainsql.backup.database_properties import read_properties, set_properties
from plainsql.backup.database_session import Connection, connect, major_of
from plainsql.backup.errors import BackupError
from plainsql.errors import ConnectError, PlainsqlError

__all__ = [
    "Target",
    "maintenance_session",
    "new_database",
    "put_in_place",
    "read_target",
    "remove_left_databases",
]

_PREFIX: Final = "plainsql_restore_"
_LOCK_CLASS: Final = 1_886_545_266
"""The first number of our advisory locks; the second is that of the database's name."""
_LEFT: Final = """
select d.datname
from pg_database as d
where d.datname ~ '^plainsql_restore_[0-9]+$'
  and not exists (
    select from pg_locks as l
    where l.locktype = 'advisory'
      and l.classid = %s
      and l.objid::text = substr(d.datname, 18)
      and l.objsubid = 2
  )
  and pg_has_role(d.datdba, 'usage')
"""

_SUBSCRIPTIONS: Final = """
select subname
from pg_subscription
where subdbid = (select oid from pg_database where datname = current_database())
  and not subenabled
"""
_PROVIDERS: Final = {"i": sql.SQL("icu"), "b": sql.SQL("builtin")}

_IS_EMPTY: Final = """
select not exists (
  select
  from (
    select 'pg_class'::regclass as class, oid, relnamespace as namespace from pg_class
    union all select 'pg_proc'::regclass, oid, pronamespace from pg_proc
    union all select 'pg_type'::regclass, oid, typnamespace from pg_type
    union all select 'pg_namespace'::regclass, oid, oid from pg_namespace
  ) as o
  inner join pg_namespace as n on n.oid = o.namespace
  where o.oid >= 16384
    and n.nspname !~ '^pg_(toast|temp)'
    and not exists (
      select from pg_depend as d where d.classid = o.class and d.objid = o.oid and d.deptype = 'e'
    )
)
"""

# The kind of another role's session is hidden from a role without pg_read_all_stats.
_SESSIONS: Final = """
select count(*)
from pg_stat_activity
where datname = %s
  and pid <> pg_backend_pid()
  and coalesce(backend_type, '') in ('client backend', '')
"""


@dataclass(frozen=True, slots=True)
class Target:
    """The database that a restore is to have."""

    name: str
    exists: bool
    is_empty: bool
    sessions: int
    """The number of client sessions in it."""
    locale: Locale | None
    """None if it does not exist."""


@contextmanager
def maintenance_session(url: str, target: str) -> Generator[Connection]:
    """Connect to a database of the server that is not the target: postgres, else template1."""
    first, *others = [name for name in ("postgres", "template1") if name != target]
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(connect(url, first))
        except ConnectError as error:
            if not others or f'database "{first}" does not exist' not in str(error.__context__):
                raise
            connection = stack.enter_context(connect(url, others[0]))
        row = connection.execute("select pg_is_in_recovery()").fetchone()
        if row is not None and row[0]:
            raise BackupError(
                "the server is a standby, and takes no writes", hint="name the primary; replicas follow it"
            )
        yield connection


def read_target(url: str, maintenance: Connection, name: str) -> Target:
    """Return the state of the database that is to be restored."""
    found = maintenance.execute("select 1 from pg_database where datname = %s", [name]).fetchone()
    if found is None:
        return Target(name, False, True, 0, None)
    with connect(url, name) as connection:
        row = connection.execute(_IS_EMPTY).fetchone()
        locale = read_locale(connection)
    assert row is not None
    return Target(name, True, bool(row[0]), sessions_of(maintenance, name), locale)


def sessions_of(maintenance: Connection, name: str) -> int:
    row = maintenance.execute(_SESSIONS, [name]).fetchone()
    assert row is not None
    return int(row[0])


def remove_left_databases(url: str, maintenance: Connection) -> list[str]:
    """Drop the databases that killed restores left, and return their names."""
    dropped = []
    for (name,) in maintenance.execute(_LEFT, [_LOCK_CLASS]).fetchall():
        with suppress(psycopg.Error, PlainsqlError):
            _drop(url, maintenance, name)
            dropped.append(name)
    return dropped


@contextmanager
def new_database(url: str, maintenance: Connection, *locales: Locale) -> Generator[str]:
    """Create an empty database in the first of the locales that the server has; drop it when the block ends.

    It is not dropped if it has another name by then.
    """
    number = secrets.randbelow(1 << 31)
    name = f"{_PREFIX}{number}"
    maintenance.execute("select pg_advisory_lock(%s, %s)", [_LOCK_CLASS, number])
    try:
        _create(maintenance, name, locales)
        try:
            yield name
        except BaseException as error:
            try:
                # An interrupt while a statement runs leaves the session as it was before it.
                _drop(url, maintenance, name)
            except (psycopg.Error, PlainsqlError) as left:
                error.add_note(f"the database {name} could not be dropped: {left}")
            raise
        else:
            _drop(url, maintenance, name)
    finally:
        maintenance.execute("select pg_advisory_unlock(%s, %s)", [_LOCK_CLASS, number])


def put_in_place(
    url: str, maintenance: Connection, new: str, target: Target, *, end_sessions: bool, now: datetime
) -> str | None:
    """Give the new database the name of the target; return the name that a database with objects has now.

    An existing database passes on its owner, its privileges and its settings. Both get their names in one
    transaction. An empty one is dropped afterwards.

    Raises ``BackupError`` if sessions use it and may not be ended.
    """
    rename = sql.SQL("alter database {} rename to {}")
    _end_sessions(maintenance, new, True)  # those that a pooler has kept
    if not target.exists:
        maintenance.execute(rename.format(sql.Identifier(new), sql.Identifier(target.name)))
        return None
    set_properties(maintenance, new, read_properties(maintenance, target.name))
    # A name has 63 bytes.
    old = target.name.encode()[:40].decode("utf-8", "ignore") + f"_before_{now:%Y%m%dt%H%M%S}"
    allow = sql.SQL("alter database {} allow_connections true")
    refuse = sql.SQL("alter database {} allow_connections false")
    here = target.name
    maintenance.execute(refuse.format(sql.Identifier(here)))
    try:
        _end_sessions(maintenance, here, end_sessions)
        with maintenance.transaction():
            maintenance.execute(rename.format(sql.Identifier(here), sql.Identifier(old)))
            maintenance.execute(rename.format(sql.Identifier(new), sql.Identifier(here)))
        here = old
    finally:
        maintenance.execute(allow.format(sql.Identifier(here)))
    if target.is_empty:
        _drop(url, maintenance, old)
        return None
    return old


def _end_sessions(maintenance: Connection, name: str, allowed: bool) -> None:
    if not allowed and (count := sessions_of(maintenance, name)):
        raise BackupError(
            f"{count} sessions use the database {name}",
            hint="end the programs that use it; --replace ends their sessions",
        )
    maintenance.execute(
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = %s"
        " and pid <> pg_backend_pid() and coalesce(backend_type, '') in ('client backend', '')",
        [name],
    ).fetchall()


def _create(maintenance: Connection, name: str, locales: tuple[Locale, ...]) -> None:
    for at, locale in enumerate(locales):
        try:
            maintenance.execute(
                sql.SQL("create database {} template template0 {}").format(
                    sql.Identifier(name), _clause(locale, major_of(maintenance))
                )
            )
            return
        except psycopg.errors.InsufficientPrivilege:
            raise BackupError(
                "this role may not create a database",
                hint="a restore makes a new database and renames it: alter role … createdb",
            ) from None
        except psycopg.Error as error:
            if error.sqlstate is None or error.sqlstate[:2] in ("08", "57"):
                raise
            if at == len(locales) - 1:
                raise BackupError(
                    f"a database like that of the backup cannot be made: {error.diag.message_primary}",
                    hint="create it, empty and with a locale that this server has, and restore into it",
                ) from None


def _clause(locale: Locale, major: int) -> sql.Composable:
    words = [sql.SQL("encoding {}").format(sql.Literal(locale.encoding))]
    words.append(sql.SQL("lc_collate {}").format(sql.Literal(locale.collate)))
    words.append(sql.SQL("lc_ctype {}").format(sql.Literal(locale.ctype)))
    if major >= 15:
        provider = _PROVIDERS.get(locale.provider, sql.SQL("libc"))
        words.append(sql.SQL("locale_provider {}").format(provider))
        if locale.provider in _PROVIDERS and locale.name is not None:
            words.append(sql.SQL("{}_locale {}").format(provider, sql.Literal(locale.name)))
    return sql.SQL(" ").join(words)


def _drop(url: str, maintenance: Connection, name: str) -> None:
    drop = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
    try:
        maintenance.execute(drop)
    except psycopg.errors.ObjectInUse:
        # A subscription that was restored is switched off, and holds its database all the same.
        with connect(url, name) as connection:
            for (subscription,) in connection.execute(_SUBSCRIPTIONS).fetchall():
                for change in (sql.SQL("alter {} set (slot_name = none)"), sql.SQL("drop {}")):
                    whose = sql.SQL("subscription {}").format(sql.Identifier(subscription))
                    connection.execute(change.format(whose))
        maintenance.execute(drop)
