"""The planner's settings of a production server, as a session of the application has them.

Only these settings are read: others, such as an application's own, may be secrets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import psycopg

__all__ = ["read_settings"]

_NAMES: Final = frozenset(
    (
        *("work_mem", "hash_mem_multiplier", "max_parallel_workers_per_gather"),
        *("parallel_leader_participation", "effective_io_concurrency"),
    )
)
"""Settings of other categories that the planner reads."""
_LIBRARIES: Final = ("hnsw.", "ivfflat.")
"""Settings of libraries that their index costs depend on."""
_OWN_SOURCES: Final = frozenset(("user", "database user", "client", "environment variable", "session"))
"""The sources of a value that only this session's role or URL has."""

_SETTINGS: Final = """
select s.name, pg_catalog.current_setting(s.name), s.source, s.boot_val || coalesce(
  case when s.boot_val ~ '^[1-9]' then s.unit end, '')
from pg_catalog.pg_settings as s
where s.category like 'Query Tuning%%' or s.name = any(%s) or s.name ~ %s
order by s.name
"""
_OF_ROLES: Final = """
select coalesce(r.rolname::text, ''), s.setconfig
from pg_catalog.pg_db_role_setting as s
left join pg_catalog.pg_roles as r on r.oid = s.setrole
where (s.setrole = 0 or r.oid is not null)
  and s.setdatabase in (
    0, (select d.oid from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database()))
order by s.setdatabase, 1
"""


def read_settings(
    connection: psycopg.Connection[Any],
) -> tuple[dict[str, str], dict[str, dict[str, str]], list[str]]:
    """Return the settings of the database, those of roles by their name, and the names of unknown ones.

    The server's own value is not known if this session's role or URL has another one. Then it is PostgreSQL's
    default.
    """
    settings: dict[str, str] = {}
    unknown: list[str] = []
    of_database: dict[str, str] = {}
    roles: dict[str, dict[str, str]] = {}
    pattern = "^(" + "|".join(name.replace(".", "[.]") for name in _LIBRARIES) + ")"
    rows = connection.execute(_SETTINGS, [sorted(_NAMES), pattern]).fetchall()
    names = {name for name, *_ in rows}
    for role, config in connection.execute(_OF_ROLES).fetchall():
        # Those of the role in this database come last, and win.
        own = of_database if not role else roles.setdefault(role, {})
        own.update(_planner_settings(config, names))
    for name, value, source, default in rows:
        if source not in _OWN_SOURCES:
            settings[name] = value
        elif name not in of_database:
            settings[name] = default
            unknown.append(name)
    settings.update(of_database)
    return settings, {role: own for role, own in sorted(roles.items()) if own}, unknown


def _planner_settings(config: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    pairs = (each.partition("=") for each in config)
    return {name: value for name, _, value in pairs if name in names or name.startswith(_LIBRARIES)}
