"""``plainsql describe``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from plainsql.cli.exits import FINDINGS, FINE
from plainsql.codegen.modules import Checked
from plainsql.errors import PlainsqlError, SettingsError, SqlFolderError, printable
from plainsql.review.lines import as_json, describe_lines, parameters_as_json
from plainsql.review.project import review
from plainsql.settings import Project
from plainsql.statements.folder import find_files
from plainsql.statements.header import close_match

__all__ = ["describe"]

_FLAG = Parameter(negative=(), show_default=False)


def describe(
    file: Path | None = None,
    /,
    *,
    database: str | None = None,
    json: Annotated[bool, _FLAG] = False,
    jsonl: Annotated[bool, _FLAG] = False,
) -> int:
    """Show what PostgreSQL says of a query: its parameters, its columns and their types, with the reasons.

    Parameters that a call may leave out stand in brackets.

    Exits with 0 where PostgreSQL takes it, 1 where it is refused, 2 where it could not run.

    Parameters
    ----------
    file
        The SQL file, or the query's name: ``realty.leads.get_by_id``.
    database
        URL of a server to build the scratch database on; by default what is configured, else the embedded
        server.
    json
        Print JSON.
    jsonl
        For tools: read lines ``{"id", "schema", "sql"}`` from standard input, where ``schema`` is DDL and
        ``sql`` uses ``:name``, and write one line for each.
    """
    if jsonl:
        for line in describe_lines(sys.stdin.buffer, database):
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
        return FINE
    if file is None:
        raise SettingsError(
            "describe: which query?", hint="name a SQL file, or a query: realty.leads.get_by_id"
        )
    project = Project.load()
    if not file.exists():
        file = _named(project, str(file))
    found = review(project, database, only=[file])
    for error in found.errors:
        print(f"{error}\n", file=sys.stderr)
    if not found.statements and not found.errors:
        raise PlainsqlError(f"{file} is no query below {project.sql}", hint="name a .sql file of that folder")
    for checked in found.inspection.checked:
        if json:
            facts = {"id": checked.statement.name, **as_json(checked.analysis)}
            known = checked.parameters
            facts["parameters"] = parameters_as_json(
                known[parameter.name] for parameter in checked.statement.parameters
            )
            sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")
        else:
            _print(checked)
    return FINDINGS if found.errors else FINE


def _named(project: Project, name: str) -> Path:
    """The file of the query of this name."""
    files, errors = find_files(project.sql_folder)
    by_name = {file.name: file.path for file in files}
    if name in by_name:
        return by_name[name]
    if errors:
        raise errors[0] if len(errors) == 1 else SqlFolderError(errors)
    meant = close_match(name, list(by_name), 0.6)
    raise PlainsqlError(
        f"there is no query {name!r} in {project.sql}",
        hint=f"did you mean {meant}?" if meant else "name a SQL file, or a query: realty.leads.get_by_id",
    )


def _print(checked: Checked) -> None:
    statement, analysis = checked.statement, checked.analysis
    console = Console(soft_wrap=True)
    heading = Text(statement.name, style="bold").append(f"  {printable(statement.path)}", style="not bold")
    console.print(heading, highlight=False)
    if statement.description:
        console.print(printable(statement.description), highlight=False, markup=False)
    because = printable(analysis.rows_because)
    console.print(f"returns {statement.returns}: {analysis.rows} ({because})", highlight=False, markup=False)
    facts = checked.parameters
    if statement.parameters or statement.choices:
        table = Table("parameter", "type", "null", "because")
        for parameter in statement.parameters:
            fact = facts[parameter.name]
            has_default = parameter.bounds is not None and parameter.bounds.has_default
            name = _may_be_missing(parameter.name, parameter.optional or has_default)
            null = "yes" if fact.nullable else "no"
            table.add_row(name, _shown(fact.type), null, _shown(fact.because))
        for choice in statement.choices:
            name = _may_be_missing(choice.name, choice.default is not None)
            table.add_row(name, " or ".join(choice.values), "no", "chooses lines")
        console.print(table)
    if analysis.columns:
        table = Table("column", "type", "null", "because", "from")
        for column in analysis.columns:
            table.add_row(
                _shown(column.name),
                _shown(column.type),
                "yes" if column.nullable else "no",
                _shown(column.because),
                _shown(column.origin or ""),
            )
        console.print(table)
    for what in ("reads", "writes"):
        uses = {str(use) for variant in checked.variants for use in getattr(variant, what)}
        if uses:
            console.print(printable(f"{what} {', '.join(sorted(uses))}"), highlight=False, markup=False)


def _shown(value: object) -> Text:
    """A text of the database as it stands: it drives neither the terminal nor the table."""
    return Text(printable(str(value)))


def _may_be_missing(name: str, may: bool) -> Text:
    """A parameter's name, in brackets where a call may leave it out."""
    return Text(f"[{name}]" if may else name)
