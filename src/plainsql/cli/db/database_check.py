"""The checks of a database: its server, the role, TLS, pgvector, and the migrations of layers."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import msgspec
import psycopg

from plainsql import migrate
from plainsql.cli.db.common import Session
from plainsql.cli.db.layer_selection import Layer, known_layers
from plainsql.errors import PlainsqlError
from plainsql.settings import Project

__all__ = ["Check", "check_database", "failure"]

State = Literal["ok", "warning", "failed", "skipped"]

_MIN_VECTOR: Final = (0, 8, 4)
_MIN_SERVER_TO_ANALYSE: Final = 160000
"""The oldest server that can analyse statements."""
_MIN_SERVER: Final = 140000
"""The oldest server that runs queries and migrations."""

_SESSION = """
select
  current_setting('server_version'),
  current_setting('server_version_num')::integer,
  current_user,
  current_database(),
  pg_encoding_to_char(d.encoding),
  (select r.rolsuper from pg_roles as r where r.rolname = current_user),
  (select r.rolbypassrls from pg_roles as r where r.rolname = current_user),
  pg_is_in_recovery()
from pg_database as d
where d.datname = current_database()
"""

_TLS = "select s.ssl, s.version, s.cipher from pg_stat_ssl as s where s.pid = pg_backend_pid()"

_TENANT_TABLES = """
select count(*)
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where c.relrowsecurity and n.nspname = any(%s)
"""

_VECTOR = """
select a.default_version, e.extversion, n.nspname
from pg_available_extensions as a
left join pg_extension as e on e.extname = a.name
left join pg_namespace as n on n.oid = e.extnamespace
where a.name = 'vector'
"""


class Check(msgspec.Struct, frozen=True):
    """The result of one check."""

    name: str
    state: State
    text: str
    """The result in one line."""
    hint: str | None = None
    """One thing to do."""
    found: dict[str, Any] = {}
    """The same result as values."""


def failure(name: str, error: Exception) -> Check:
    """Return the failed check of an error."""
    if isinstance(error, PlainsqlError):
        text = f"{error.message}: {error.detail}" if error.detail else error.message
        return Check(name, "failed", text, error.hint)
    return Check(name, "failed", str(error).partition("\n")[0])


def check_database(session: Session, names: Sequence[str]) -> Iterator[Check]:
    """Yield the checks of a database, each when it is done."""
    connection = session.connection
    schemas = {name for (name,) in connection.execute("select nspname from pg_namespace")}
    project = Project.load()
    layers = [
        layer
        for layer in known_layers(names)
        if names or layer.name in schemas or layer.migrations == project.migrations_folder
    ]
    if not project.owns_schema and not names:
        layers = []
    yield _server(session)
    yield _role(connection, [layer.name for layer in layers])
    yield _tls(connection)
    yield _vector(connection, layers)
    if not project.owns_schema:
        yield Check("schema", "skipped", f"not plainsql's: {project.schema_origin} makes it")
    for layer in layers:
        yield _migrations(session.url, layer)


def _server(session: Session) -> Check:
    connection = session.connection
    version, number, _, database, encoding, _, _, is_standby = connection.execute(_SESSION).fetchall()[0]
    times = []
    for _ in range(5):
        began = time.perf_counter()
        connection.execute("select 1")
        times.append((time.perf_counter() - began) * 1000)
    latency = statistics.median(times)
    found = {
        "version": version.split()[0],
        "database": database,
        "address": session.address,
        "encoding": encoding,
        "latency_ms": round(latency, 3),
        "standby": is_standby,
    }
    text = f"{version.split()[0]}, database {database} at {session.address}, {latency:.2f} ms a round trip"
    if number < _MIN_SERVER:
        return Check("postgresql", "failed", text, "upgrade the server to PostgreSQL 14 or newer", found)
    if number < _MIN_SERVER_TO_ANALYSE:
        hint = "queries run here; 'check' and 'generate' need PostgreSQL 16 or newer, or the embedded server"
        return Check("postgresql", "warning", text, hint, found)
    if encoding != "UTF8":
        return Check("postgresql", "warning", f"{text}; its encoding is {encoding}", "use UTF8", found)
    if is_standby:
        hint = "writes fail here: connect to the primary, target_session_attrs=read-write finds it"
        return Check("postgresql", "warning", f"{text}; it is a standby", hint, found)
    return Check("postgresql", "ok", text, None, found)


def _role(connection: psycopg.Connection[Any], schemas: Sequence[str]) -> Check:
    _, _, role, _, _, is_superuser, bypasses, _ = connection.execute(_SESSION).fetchall()[0]
    tenants = connection.execute(_TENANT_TABLES, [list(schemas)]).fetchall()[0][0]
    found = {
        "role": role,
        "superuser": is_superuser,
        "bypassrls": bypasses,
        "tables_with_row_level_security": tenants,
    }
    kind = "superuser" if is_superuser else "bypassrls" if bypasses else ""
    text = f"{role}, {kind}" if kind else role
    if kind and tenants:
        return Check(
            "role",
            "warning",
            f"{text}: it sees the rows of every tenant, in {tenants} tables with row-level security",
            "let the application connect as a role without superuser and bypassrls",
            found,
        )
    return Check("role", "ok", text, None, found)


def _tls(connection: psycopg.Connection[Any]) -> Check:
    row = connection.execute(_TLS).fetchone()
    is_on, version, cipher = row or (False, None, None)
    host = connection.info.host
    is_local = host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")
    found = {"tls": is_on, "version": version, "cipher": cipher}
    if is_on:
        return Check("tls", "ok", f"{version}, {cipher}", None, found)
    if host.startswith("/"):
        return Check("tls", "ok", "none: a socket of this machine", None, found)
    if is_local:
        return Check("tls", "ok", "none, on this machine", None, found)
    return Check(
        "tls",
        "warning",
        "none: passwords and rows cross the network as they are",
        "add ?sslmode=verify-full to the URL, and TLS to the server",
        found,
    )


def _vector(connection: psycopg.Connection[Any], layers: Sequence[Layer]) -> Check:
    row = connection.execute(_VECTOR).fetchone()
    needed = [layer.name for layer in layers if _needs_vector(layer)]
    need = f"{', '.join(needed)} needs it" if needed else "no layer here needs it"
    if row is None:
        return Check(
            "pgvector",
            "failed" if needed else "skipped",
            f"the server does not have it; {need}",
            "install pgvector 0.8.4 or newer on the server" if needed else None,
        )
    available, version, schema = row
    found = {"version": version, "available": available, "schema": schema}
    if version is None:
        new_enough = _numbers(available) >= _MIN_VECTOR
        text = f"{available} can be installed in this database; {need}"
        if not needed or new_enough:
            return Check(
                "pgvector", "skipped", text, "plainsql migrate installs it" if needed else None, found
            )
        return Check("pgvector", "failed", f"{text}, at 0.8.4 or newer", "update it on the server", found)
    if _numbers(version) < _MIN_VECTOR:
        hint = "alter extension vector update; if that changes nothing, update it on the server"
        return Check("pgvector", "failed", f"{version}: 0.8.4 or newer is needed", hint, found)
    where = connection.execute("select quote_ident(%s)", [schema]).fetchall()[0][0]
    query = f"select '[3,4]'::{where}.vector operator({where}.<->) '[0,0]'::{where}.vector"
    try:
        distance = connection.execute(query.encode()).fetchall()[0][0]
    except psycopg.Error as error:
        return Check(
            "pgvector",
            "failed",
            f"{version}: a distance cannot be computed: {error.diag.message_primary}",
            f"let the role use the schema {schema}: grant usage on schema {where} to …",
            found,
        )
    if distance != 5.0:
        return Check("pgvector", "failed", f"{version}: a distance of 5 came out as {distance}", None, found)
    return Check("pgvector", "ok", f"{version}, computes distances", None, found)


def _needs_vector(layer: Layer) -> bool:
    folder = layer.migrations if layer.is_flat else layer.migrations / layer.name
    return any(
        re.search(r"\b(vector|halfvec|sparsevec)\b", re.sub("--.*", "", path.read_text("utf-8")))
        for path in folder.glob("*.sql")
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _migrations(url: str, layer: Layer) -> Check:
    name = "migrations" if layer.is_flat else f"migrations of {layer.name}"
    try:
        status = migrate.status(url, layer.migrations, layers=None if layer.is_flat else [layer.name])
    except PlainsqlError as error:
        return failure(name, error)
    own = [item for item in status.migrations if item.layer == layer.ledger]
    counts = {
        state: sum(item.state == state for item in own)
        for state in ("applied", "pending", "edited", "missing", "interrupted")
    }
    found: dict[str, Any] = {**counts, "last": max((item.id for item in own if item.marked), default=None)}
    text = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none"
    if counts["pending"] == len(own) - counts["applied"] and counts["pending"]:
        option = "" if layer.is_flat else f" --layer {layer.name}"
        folder = (
            "" if layer.migrations == Project.load().migrations_folder else f" --folder {layer.migrations}"
        )
        return Check(name, "failed", text, f"plainsql migrate{option}{folder}", found)
    if counts["applied"] != len(own):
        return Check(name, "failed", text, "plainsql migrate status shows which", found)
    return Check(name, "ok", text, None, found)
