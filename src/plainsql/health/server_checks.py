"""The checks of PostgreSQL: the server, the role, TLS, pgvector, and the migrations of layers."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from plainsql.health.layer_checks import layer_checks
from plainsql.health.migration_checks import migration_checks
from plainsql.health.results import Check
from plainsql.health.sequence_check import sequence_check
from plainsql.health.steps import RefusedStepError, Rows, Steps
from plainsql.layer_folders import Layer
from plainsql.settings import Project

__all__ = ["Place", "server_checks"]

T = TypeVar("T")
Part = Generator[str, Rows, T]
"""A part of the steps, and its result."""

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
select n.nspname, count(*)
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where c.relrowsecurity
group by n.nspname
"""

_VECTOR = """
select a.default_version, e.extversion, n.nspname, quote_ident(n.nspname)
from pg_available_extensions as a
left join pg_extension as e on e.extname = a.name
left join pg_namespace as n on n.oid = e.extnamespace
where a.name = 'vector'
"""


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a server, as the driver of its connection knows it."""

    address: str
    """The URL without its password."""
    host: str
    """The name, the address or the folder of the socket that the connection leads to."""


def server_checks(
    place: Place,
    known: Sequence[Layer],
    *,
    only_present: bool = True,
    migrations: bool = True,
    in_depth: bool = False,
) -> Steps:
    """Yield the steps of the checks of a database.

    Args:
        place: the server's.
        known: the layers whose migrations are checked.
        only_present: leave out the layers that come with plainsql and have no schema in the database.
        migrations: check the migrations, and the sequences that they make.
        in_depth: check the extensions and the indexes of each layer, and the role's rights, too.
    """
    layers, project = list(known), Project.load()
    if only_present:
        schemas = {name for (name,) in (yield "select nspname from pg_namespace")}
        own = project.migrations_folder
        layers = [layer for layer in known if layer.name in schemas or layer.migrations == own]
    if only_present and not project.owns_schema:
        layers = []
    yield (yield from _server(place))
    yield (yield from _role({layer.name for layer in layers}))
    yield (yield from _tls(place.host))
    yield (yield from _vector(layers))
    if migrations:
        yield from sequence_check()
    if migrations and not project.owns_schema:
        yield Check("schema", "skipped", f"not plainsql's: {project.schema_origin} makes it")
    if migrations and layers:
        yield from migration_checks(layers)
    if in_depth:
        for layer in layers:
            yield from layer_checks(layer)


def _server(place: Place) -> Part[Check]:
    version, number, _, database, encoding, _, _, is_standby = (yield _SESSION)[0]
    times = []
    for _ in range(5):
        began = time.perf_counter()
        yield "select 1"
        times.append((time.perf_counter() - began) * 1000)
    latency = statistics.median(times)
    found = {
        "version": version.split()[0],
        "database": database,
        "address": place.address,
        "encoding": encoding,
        "latency_ms": round(latency, 3),
        "standby": is_standby,
    }
    text = f"{version.split()[0]}, database {database} at {place.address}, {latency:.2f} ms a round trip"
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


def _role(schemas: Collection[str]) -> Part[Check]:
    _, _, role, _, _, is_superuser, bypasses, _ = (yield _SESSION)[0]
    tenants = sum(count for schema, count in (yield _TENANT_TABLES) if schema in schemas)
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


def _tls(host: str) -> Part[Check]:
    is_on, version, cipher = next(iter((yield _TLS)), (False, None, None))
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


def _vector(layers: Sequence[Layer]) -> Part[Check]:
    row = next(iter((yield _VECTOR)), None)
    needed = [layer.name for layer in layers if _needs_vector(layer)]
    need = f"{', '.join(needed)} needs it" if needed else "no layer here needs it"
    if row is None:
        return Check(
            "pgvector",
            "failed" if needed else "skipped",
            f"the server does not have it; {need}",
            "install pgvector 0.8.4 or newer on the server" if needed else None,
        )
    available, version, schema, where = row
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
    try:
        distance = (yield f"select '[3,4]'::{where}.vector operator({where}.<->) '[0,0]'::{where}.vector")[0][
            0
        ]
    except RefusedStepError as error:
        return Check(
            "pgvector",
            "failed",
            f"{version}: a distance cannot be computed: {error.reason}",
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
