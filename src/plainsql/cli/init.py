"""``plainsql init``: a new project, created completely or not at all."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import chdir
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from plainsql.cli.exit_codes import FINE
from plainsql.cli.new_files import NewFiles
from plainsql.errors import Place, PlainsqlError, SettingsError
from plainsql.schema.tools import FoundTool, find_tool
from plainsql.settings import Project

__all__ = ["init"]

_TEMPLATES = (
    "migrations/0001_notes.sql",
    "migrations/0001_notes.rollback.sql",
    "sql/notes/create.sql",
    "sql/notes/list.sql",
)
_IGNORED = ".plainsql/"


_FLAG = Parameter(negative=(), show_default=False)


def init(folder: Path = Path(), /, *, example: Annotated[bool, _FLAG] = False) -> int:
    """Start a new project: a migration, two queries, their generated module, and its settings.

    It overwrites no file. In a folder with a pyproject.toml it adds [tool.plainsql], and no example. If src
    has one package, the generated modules go into that.

    If the schema is another tool's (Alembic, Django, Flyway, dbmate, goose, Sqitch, Supabase, a dump), the
    settings are those that load it, and nothing is ever created in its database.

    Exits with 0 if the project is created, 2 if it is not: no file is left then.

    Parameters
    ----------
    folder
        The project's folder, created if it is missing. By default the working folder.

    Example:
        Write the example also in a folder that has a pyproject.toml.
    """
    writer = NewFiles(folder)
    found = find_tool(folder) if folder.is_dir() else None
    exists = (folder / "pyproject.toml").exists()
    if found is not None and example:
        raise SettingsError(
            f"--example: expected a project of plainsql's migrations, got {found.name}'s, by {found.place}",
            hint="leave out --example",
        )
    with_example = found is None and (example or not exists)
    problem = ""
    with writer.undone_on_error():
        output = _output(folder)
        settings = _with_settings(folder / "pyproject.toml", output, found)
        if with_example:
            _write_example(folder, writer, output)
        else:
            _write_folder(folder, writer, "queries_sql" if _takes_sql(found) else "sql")
        writer.write("pyproject.toml", settings)
        if (ignored := _with_ignored(folder / ".gitignore")) is not None:
            writer.write(".gitignore", ignored)
        if with_example:
            problem = _generate(folder, writer)
    if found is not None:
        print(f"found {found.name}: {found.place}")
    for name in writer.done:
        print(
            "added [tool.plainsql] to pyproject.toml"
            if exists and name == "pyproject.toml"
            else f"wrote {name}"
        )
    if problem:
        print(f"\nthe Python module is still to be generated:\n{problem}", file=sys.stderr)
    print("\nNext:")
    for command in _next_commands(folder, found, with_example=with_example, generated=not problem):
        print(f"  {command}")
    return FINE


def _next_commands(
    folder: Path, found: FoundTool | None, *, with_example: bool, generated: bool
) -> Iterator[str]:
    if folder.resolve() != Path.cwd():
        yield f"cd {folder}"
    if with_example:
        yield from [] if generated else ["plainsql generate"]
        yield from ("plainsql migrate", "plainsql run notes.create text='Buy milk'", "plainsql check")
        return
    yield from [] if found else ["plainsql migrate new 'the first table'"]
    sql = "queries_sql" if _takes_sql(found) else "sql"
    yield f"write a query, such as {sql}/people/get.sql"
    yield "plainsql generate"


def _takes_sql(found: FoundTool | None) -> bool:
    """Return whether the folder ``sql`` is that of the tool's migrations."""
    return found is not None and found.settings.get("schema") == "sql"


def _write_example(folder: Path, writer: NewFiles, output: str) -> None:
    targets = [*_TEMPLATES, f"{output}/notes.py"]
    if existing := [name for name in targets if (folder / name).exists()]:
        raise SettingsError(
            f"{'these exist' if len(existing) > 1 else 'this exists'} already: {', '.join(existing)}",
            place=Place(str(folder)),
            hint="start in another folder; nothing was written",
        )
    for name in _TEMPLATES:
        template = files("plainsql.cli").joinpath("templates", *name.split("/"))
        writer.write(name, template.read_text(encoding="utf-8"))


def _write_folder(folder: Path, writer: NewFiles, name: str) -> None:
    """Make the folder of queries, with a file that has Git keep it; one that exists stays as it is."""
    if not (folder / name).exists():
        writer.write(f"{name}/.gitkeep", "")


def _output(folder: Path) -> str:
    """Return the folder of generated modules: in the only package below ``src``, else ``queries``."""
    packages = sorted(file.parent for file in (folder / "src").glob("*/__init__.py"))
    return f"src/{packages[0].name}/queries" if len(packages) == 1 else "queries"


def _with_settings(file: Path, output: str, found: FoundTool | None) -> str:
    """Return the text of pyproject.toml with our table appended, otherwise unchanged."""
    schema: Mapping[str, str | list[str]] = found.settings if found else {"migrations": "migrations"}
    sql = "queries_sql" if _takes_sql(found) else "sql"
    # A string and a list of JSON are those of TOML.
    lines = [
        f"{name} = {json.dumps(value)}" for name, value in {"sql": sql, **schema, "output": output}.items()
    ]
    table = "\n".join(["[tool.plainsql]", *lines, ""])
    if not file.exists():
        return table
    place = Place(str(file))
    try:
        text = file.read_bytes().decode()
        tool = tomllib.loads(text.replace("\r\n", "\n")).get("tool", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"cannot be read: {error}", place=place, hint="fix it first") from None
    if "plainsql" in tool:
        raise SettingsError(
            "has [tool.plainsql] already", place=place, hint="this is a project; add files to it by hand"
        )
    end = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text else end if text.endswith("\n") else end * 2
    extended = text + gap + table.replace("\n", end)
    try:
        tomllib.loads(extended.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError:  # tool = { … }, to which no table can be added
        raise SettingsError(
            "[tool.plainsql] cannot be appended to it", place=place, hint=f"add it by hand:\n{table}"
        ) from None
    return extended


def _with_ignored(file: Path) -> str | None:
    """Return the text of .gitignore with the embedded server's folder; None if it has it already."""
    text = file.read_bytes().decode(errors="surrogateescape") if file.exists() else ""
    if _IGNORED in (line.strip().lstrip("/") for line in text.splitlines()):
        return None
    return text + ("" if not text or text.endswith("\n") else "\n") + f"{_IGNORED}\n"


def _generate(folder: Path, writer: NewFiles) -> str:
    """Generate the module of the queries; return the error if no server can analyse them, else ''."""
    from plainsql.check.project_check import check_project

    # The embedded server and the paths in the module are relative to the folder.
    with chdir(folder):
        project = Project.load()
        try:
            found = check_project(project)
        except PlainsqlError as error:
            return str(error)
        if found.errors:
            return str(found.errors[0])
    for path, source in found.files.items():
        writer.write(f"{project.output}/{path.as_posix()}", source)
    return ""
