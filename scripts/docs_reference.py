"""The pages of the reference: one for each public module, which mkdocstrings fills from the docstrings.

The names are read from each module's ``__all__``, without importing it, so no driver and no extra is needed.
"""

from __future__ import annotations

import ast
import shutil
import zlib
from pathlib import Path

MODULES = (
    "plainsql",
    "plainsql.sync",
    "plainsql.errors",
    "plainsql.types",
    "plainsql.vector",
    "plainsql.query",
    "plainsql.columns",
    "plainsql.migrate",
    "plainsql.embedded",
    "plainsql.testing",
    "plainsql.factories",
    "plainsql.fakes",
    "plainsql.asgi",
    "plainsql.fastapi",
    "plainsql.litestar",
    "plainsql.http_errors",
    "plainsql.settings",
    "plainsql.speed",
    "plainsql.limits",
    "plainsql.sessions",
    "plainsql.values",
    "plainsql.sync_redis_connection",
    "plainsql.crypto",
    "plainsql.transfer",
    "plainsql.backup",
    "plainsql.otel",
    "plainsql.layers.files",
    "plainsql.cli.demos",
)

PARTS = {
    # The rest of the module is for generated code.
    "plainsql.query": ["Query", "OneQuery", "OptionalQuery", "ManyQuery", "CountQuery"],
    # The rest of the module is for the objects that it is passed to.
    "plainsql.sync_redis_connection": ["SyncRedisConnection", "SyncRedisSource"],
}
"""The names of a module that are public, if they are not all of its ``__all__``."""

INNER = (
    "adopt|bind|build|compare|copy_rows|kind|needs_columns|note|plan|run|run_batch|run_fresh|run_many|traces"
    "|unfit"
)
"""The methods that queries and executors call of each other; you call a query."""


def public_names(root: Path, module: str) -> list[str]:
    """Return the names that a module's ``__all__`` has, or the part of them that ``PARTS`` has."""
    if module in PARTS:
        return PARTS[module]
    for node in ast.parse(_file(root, module).read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    raise SystemExit(f"docs: {module} has no __all__")


def copy_source(root: Path, folder: Path) -> None:
    """Copy the package to ``folder``: mkdocstrings finds no module in a folder without ``__init__.py``."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root / "src", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for module in list(folder.rglob("*.py")):
        (module.parent / "__init__.py").touch()


def pages(root: Path) -> dict[str, str]:
    """Return the text of each page of the reference, by its path on the site."""
    return {_place(module): _page(root, module) for module in MODULES}


def missing(root: Path, inventory: Path) -> list[str]:
    """Return the public names that the built site has no entry for."""
    documented = {*MODULES, *(_entries(inventory) if inventory.is_file() else ())}

    def is_there(module: str, name: str) -> bool:
        paths = {f"{module}.{name}", f"{module}.{name}.{name}"}
        # The errors are on their own page, and not on the first.
        paths |= {f"plainsql.errors.{name}"} if module == "plainsql" else set()
        return bool(documented & paths) or bool(_foreign(root, module, name))

    return sorted(
        f"{module}.{name}"
        for module in MODULES
        for name in public_names(root, module)
        if not is_there(module, name)
    )


def _page(root: Path, module: str) -> str:
    names, note = public_names(root, module), ""
    if module == "plainsql":
        # The errors have a page of their own, and so does the module among the names.
        elsewhere = _errors(root) | {f"plainsql.errors.{other.rpartition('.')[2]}" for other in MODULES}
        names = [name for name in names if f"plainsql.errors.{name}" not in elsewhere]
        note = "\nThe errors have [a page of their own](errors.md), and so does [`plainsql.sync`](sync.md).\n"
    foreign = {name: origin for name in names if (origin := _foreign(root, module, name))}
    # A module hides a function of its name, as the one in plainsql/migrate/new.py.
    hidden = [name for name in names if _file(root, f"{module}.{name}").is_file()]
    members = [name for name in names if name not in foreign and name not in hidden]
    page = f"# {module}\n{note}\n" + _directive(module, members, heading=False)
    page += "".join("\n" + _directive(f"{module}.{name}.{name}", [], heading=True) for name in hidden)
    if foreign:
        page += "\n## Names from other packages\n\n"
        page += "".join(f"- `{name}` is `{origin}`.\n" for name, origin in foreign.items())
    return page


def _directive(path: str, members: list[str], *, heading: bool) -> str:
    options = [
        f"show_root_heading: {str(heading).lower()}",
        f"show_root_toc_entry: {str(heading).lower()}",
        "filters:",
        '  - "!^_"',
        f'  - "!^({INNER})$"',
        *(["members:", *(f"  - {name}" for name in members)] if members else []),
    ]
    return f"::: {path}\n    options:\n" + "".join(f"      {option}\n" for option in options)


def _foreign(root: Path, module: str, name: str) -> str:
    """Return the path of a name that comes from another package; an empty string if it is of this one."""
    for node in ast.walk(ast.parse(_file(root, module).read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    if node.module.partition(".")[0] != "plainsql":
                        return f"{node.module}.{alias.name}"
                    return _foreign(root, node.module, alias.name) if node.module != "plainsql" else ""
    return ""


def _errors(root: Path) -> set[str]:
    return {f"plainsql.errors.{name}" for name in public_names(root, "plainsql.errors")}


def _place(module: str) -> str:
    return f"reference/{module.removeprefix('plainsql.').replace('.', '-')}.md"


def _file(root: Path, module: str) -> Path:
    path = root / "src" / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _entries(inventory: Path) -> list[str]:
    """Return the names in an inventory of Sphinx's second format: four lines, then compressed ones."""
    content = inventory.read_bytes()
    compressed = content.split(b"\n", 4)[4]
    return [line.split(" ", 1)[0] for line in zlib.decompress(compressed).decode("utf-8").splitlines()]
