"""The scratch database: what the migrations make of an empty one, for the server to type queries against.

It lives on the project's embedded server, or on the server it is pointed at, under a name made from the content
of the migrations: as long as they do not change it is built once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from plainsql import migrate
from plainsql.diagnose import cannot_connect
from plainsql.settings import resolve_database

__all__ = ["PREFIX", "connect", "schema_digest", "scratch_database"]

PREFIX = "plainsql_scratch_"


@contextmanager
def scratch_database(migrations: Path, url: str | None = None, *, anew: bool = False) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection to a database that holds what the migrations make, and nothing else.

    The connection is in autocommit mode and closed at the end.

    Args:
        migrations: the folder; where it does not exist, the database is empty.
        url: a database of the server to use, whose role may create databases; by default what is configured, else
            the project's embedded server.
        anew: build it even where it is there.

    Raises ``ConnectError``, and ``MigrationError`` where a migration fails; nothing half-built stays.
    """
    with resolve_database(url) as server:
        with connect(server) as connection:
            name = PREFIX + schema_digest(migrations)[:16]
            if anew:
                _drop(connection, name)
            if not _exists(connection, name):
                _build(connection, server, name, migrations)
            _drop_older(connection, keep=name)
        with connect(_with_database(server, name)) as connection:
            yield connection


def _build(connection: psycopg.Connection[Any], server: str, name: str, migrations: Path) -> None:
    # Built beside and renamed: another process never meets half a schema.
    part = f"{name}_{os.getpid()}"
    _drop(connection, part)
    connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(part)))
    try:
        if migrations.is_dir():
            migrate.apply(_with_database(server, part), migrations)
        connection.execute(
            sql.SQL("alter database {} rename to {}").format(sql.Identifier(part), sql.Identifier(name))
        )
    except psycopg.errors.DuplicateDatabase:  # another process was faster
        _drop(connection, part)
    except BaseException:
        _drop(connection, part)
        raise


def connect(url: str) -> psycopg.Connection[Any]:
    """Connect for analysing, in autocommit mode. Raises ``ConnectError``."""
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=10, application_name="plainsql check")
    except psycopg.Error as error:
        raise cannot_connect(url, error, error.sqlstate) from None


def _with_database(url: str, name: str) -> str:
    return psycopg.conninfo.make_conninfo(url, dbname=name)


def schema_digest(migrations: Path) -> str:
    """Return the digest of all that the migrations of a folder make."""
    digest = hashlib.sha256()
    for file in sorted(migrations.rglob("*.sql")):
        if not file.name.endswith(".rollback.sql"):
            digest.update(str(file.relative_to(migrations)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _exists(connection: psycopg.Connection[Any], name: str) -> bool:
    query = "select 1 from pg_catalog.pg_database where datname = %s"
    return connection.execute(query, [name]).fetchone() is not None


def _drop(connection: psycopg.Connection[Any], name: str) -> None:
    connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _drop_older(connection: psycopg.Connection[Any], keep: str) -> None:
    """Drop the databases of earlier migrations that nobody is connected to."""
    idle = connection.execute(
        """
        select d.datname
        from pg_catalog.pg_database as d
        where starts_with(d.datname, %s) and d.datname <> %s and length(d.datname) = length(%s)
          and not exists (select 1 from pg_catalog.pg_stat_activity as a where a.datid = d.oid)
        """,
        [PREFIX, keep, keep],
    ).fetchall()
    for (name,) in idle:
        connection.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(name)))
