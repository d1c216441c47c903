"""The places that a name leads to: a query's SQL file, its function, its uses, the migration of a table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from plainsql.analysis.findings.migration_statements import MigrationStatements
from plainsql.editor.edited_text import EditedText
from plainsql.editor.schema_names import SchemaNames
from plainsql.errors import PlainsqlError
from plainsql.review.model.callers import find_callers, python_files, query_at
from plainsql.review.model.sheets import TableSheet
from plainsql.settings import Project

__all__ = ["Destination", "function_of", "query_file", "query_name", "table_of", "uses_of"]


@dataclass(frozen=True, slots=True)
class Destination:
    """A line of a file, both 1-based."""

    path: Path
    line: int
    column: int = 1


def query_file(
    text: str, line: int, column: int, project: Project, file: Path, names: Mapping[str, Path]
) -> Destination | None:
    """Return the SQL file of the query that a Python file names at a place.

    ``names`` are the files of all queries. ``line`` is 1-based, ``column`` 0-based and in characters.
    """
    name = query_at(text, _below(file, project.root), project.import_name, names, line, column)
    return Destination(names[name], 1) if name else None


def function_of(name: str, project: Project) -> Destination | None:
    """Return the generated function of a query."""
    parts = name.split(".")
    folders = parts[:-1] or ["queries"]
    stem = project.output_folder.joinpath(*folders)
    for file in (stem.with_suffix(".py"), stem / "__init__.py"):
        try:
            lines = file.read_text("utf-8").splitlines()
        except OSError:
            continue
        for number, line in enumerate(lines, 1):
            if line.startswith(f"def {parts[-1]}("):
                return Destination(file, number, 5)
    return None


def uses_of(name: str, project: Project) -> Iterator[Destination]:
    """Yield the places in the project's Python that use a query."""
    root = project.root
    found = find_callers(root, python_files(root), project.import_name, [name])
    for caller in found.get(name, ()):
        yield Destination(root / caller.path, caller.line)


def table_of(text: EditedText, offset: int, names: SchemaNames, project: Project) -> Destination | None:
    """Return the statement of a migration that makes the table at an offset."""
    word = text.word(offset)
    if word is None or word.kind != "name" or not project.owns_schema:
        return None
    table = names.table(f"{word.qualifier}.{word.text}" if word.qualifier else word.text)
    table = table or names.of_alias(text, word.qualifier or word.text)
    return _creation(table, project) if table is not None else None


def _creation(table: TableSheet, project: Project) -> Destination | None:
    kind = "view" if "view" in table.kind else "table"
    schema, _, name = table.name.partition(".")
    try:
        statements = MigrationStatements(project.migrations_folder)
    except PlainsqlError:
        return None
    in_schema = () if schema == "public" else (schema,)
    phrases = (f"{kind} {name}", f"exists {name}")
    found = statements.of_object([("create", *in_schema, phrase) for phrase in phrases], name)
    if found is None:
        return None
    place, _ = found
    return Destination(Path(place.path).absolute(), place.line, place.column or 1)


def _below(file: Path, root: Path) -> str:
    resolved, top = file.resolve(), root.resolve()
    return resolved.relative_to(top).as_posix() if resolved.is_relative_to(top) else file.name


def query_name(file: Path, project: Project) -> str:
    """Return the name of the query in a file of the SQL folder; empty for another file."""
    folder = project.sql_folder.resolve()
    if file.suffix != ".sql" or not file.is_relative_to(folder):
        return ""
    return ".".join(re.sub(r"\.sql$", "", file.relative_to(folder).as_posix()).split("/"))
