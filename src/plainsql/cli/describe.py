"""``plainsql describe``: the parameters and columns of a query, with their types and the reasons."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from plainsql.analysis import Analysis
from plainsql.check.jsonl import as_json, describe_lines
from plainsql.check.project_check import check_project
from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.project import has_sql, no_project, packaged_layer
from plainsql.cli.shape_rows import shape_rows
from plainsql.cli.tables import print_table
from plainsql.codegen.annotations import column_description
from plainsql.codegen.described_types import types_of
from plainsql.codegen.error_classes import classes_by_constraint, listed_violations
from plainsql.codegen.modules import Checked
from plainsql.errors import PlainsqlError, SettingsError, SqlFolderError, printable
from plainsql.settings import Project
from plainsql.statements.column_paths import levels_of
from plainsql.statements.discovery import find_files
from plainsql.statements.header import close_match

__all__ = ["describe"]

_FLAG = Parameter(negative=(), show_default=False)


def describe(
    file: Path | None = None,
    /,
    *,
    scratch: str | None = None,
    json: Annotated[bool, _FLAG] = False,
    jsonl: Annotated[bool, _FLAG] = False,
) -> int:
    """Show the parameters and columns of a query with their types, and why they are nullable or not.

    Optional parameters are in brackets.

    Exits with 0 if PostgreSQL accepts the query, 1 if it refuses it, 2 if it could not run.

    Parameters
    ----------
    file
        The SQL file, or the query's name: ``realty.leads.get_by_id``.
    scratch
        URL of a server to build the scratch database on; by default the one named for it, else the embedded
        server.
    json
        Print JSON.
    jsonl
        For tools: read lines ``{"id", "schema", "sql"}`` from standard input, and write one line for each.
        ``schema`` is DDL; ``sql`` uses ``:name``.
    """
    if jsonl:
        for line in describe_lines(sys.stdin.buffer, scratch):
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
        return FINE
    if file is None:
        raise SettingsError(
            "describe: expected a query, got nothing",
            hint="name a SQL file, or a query: realty.leads.get_by_id",
        )
    project = Project.load()
    if not file.exists():
        project, file = _named(project, str(file))
    found = check_project(project, scratch, only=[file])
    for error in found.errors:
        print(f"{error}\n", file=sys.stderr)
    if not found.statements and not found.errors:
        raise PlainsqlError(f"{file} is no query below {project.sql}", hint="name a .sql file of that folder")
    for checked in found.inspection.checked:
        if json:
            facts = {"id": checked.statement.name, **as_json(checked.analysis)}
            facts |= _facts_of_file(checked)
            facts["types"] = [
                {"name": name, "type": type, "because": because}
                for name, type, because in types_of(checked, found.inspection.own_types)
            ]
            sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")
        else:
            _print(checked, types_of(checked, found.inspection.own_types))
    return FINDINGS if found.errors else FINE


def _named(project: Project, name: str) -> tuple[Project, Path]:
    """Return the file of the named query and its project, which may be a layer that comes with plainsql."""
    packaged = packaged_layer(name)
    if not has_sql(project) and packaged is None:
        raise no_project(project)
    files, errors = find_files(project.sql_folder) if has_sql(project) else ([], [])
    by_name = {file.name: file.path for file in files}
    if name in by_name:
        return project, by_name[name]
    if packaged is not None and packaged.sql_folder.resolve() != project.sql_folder.resolve():
        return _named(packaged, name)
    if errors:
        raise errors[0] if len(errors) == 1 else SqlFolderError(errors)
    meant = close_match(name, list(by_name), 0.6)
    raise PlainsqlError(
        f"there is no query {name!r} in {project.sql}",
        hint=f"did you mean {meant}?" if meant else "name a SQL file, or a query: realty.leads.get_by_id",
    )


def _facts_of_file(checked: Checked) -> dict[str, Any]:
    """Return the facts of the header and of the marks as plain values, with those of the analysis."""
    known, statement = checked.parameters, checked.statement
    classes = classes_by_constraint(statement, checked.analysis)
    parameters: list[dict[str, Any]] = []
    for parameter in statement.parameters:
        fact, bounds = known[parameter.name], parameter.bounds
        has_default = bounds is not None and bounds.has_default
        described: dict[str, Any] = {
            "name": fact.name,
            "type": str(fact.type),
            "nullable": fact.nullable,
            "because": fact.because,
            "optional": parameter.optional or has_default,
            "low": bounds.low if bounds else None,
            "high": bounds.high if bounds else None,
            "encrypted": parameter.encryption is not None,
            "description": parameter.description or fact.comment,
        }
        parameters.append(described | ({"default": bounds.default} if bounds and has_default else {}))
    return {
        "path": statement.path,
        "description": statement.description,
        "deprecated": statement.deprecated,
        "returns": str(statement.returns),
        "because": checked.analysis.rows_because,
        "parameters": parameters,
        **_settings_of_file(checked),
        "choices": [
            {
                "name": choice.name,
                "values": choice.values,
                "default": choice.default,
                "description": choice.description,
            }
            for choice in statement.choices
        ],
        "violations": [
            {
                "kind": violation.kind,
                "name": violation.name or None,
                "table": violation.table,
                "columns": violation.columns,
                "via": violation.via or None,
                "at_commit": violation.deferred,
                "error": classes.get(violation.name),
            }
            for violation in checked.analysis.violations
        ],
        "examples": [dict(example.values) for example in statement.examples],
        "columns": [
            {
                "name": column.name,
                "type": str(column.type),
                "nullable": column.nullable,
                "because": column.because,
                "from": str(column.origin) if column.origin else None,
                "description": column_description(statement, column),
                "inside": [
                    {"name": name, "type": type, "nullable": null == "yes", "because": because}
                    for name, type, null, because in shape_rows(column)
                ],
            }
            for column in checked.analysis.columns
        ],
        "lists": [
            {"name": level.path.removesuffix("."), "key": level.key, "because": level.because}
            for level in checked.analysis.levels
        ],
        "contiguous": checked.analysis.contiguous,
    }


def _settings_of_file(checked: Checked) -> dict[str, Any]:
    """Return the settings of the header as plain values; nothing if it has none."""
    pairs = [*zip(checked.statement.settings, checked.settings, strict=False)]
    if not pairs:
        return {}
    return {
        "settings": [
            {"name": each.name, "value": each.value, "parameter": each.parameter, "type": fact.type}
            for each, fact in pairs
        ]
    }


def _rows_of_settings(checked: Checked) -> list[tuple[str, str, str, str, str]]:
    """Return the lines of the parameters that only settings take."""
    rows = []
    types = {
        setting.parameter: f"{fact.type}, {fact.unit}" if fact.unit else fact.type
        for setting, fact in zip(checked.statement.settings, checked.settings, strict=False)
    }
    for parameter in checked.statement.setting_parameters:
        bounds = parameter.bounds
        has_default = bounds is not None and bounds.has_default
        null = "yes" if has_default and bounds is not None and bounds.default is None else "no"
        name = _in_brackets_if_optional(parameter.name, has_default)
        text = printable(parameter.description)
        rows.append((name, types[parameter.name], null, "the value of a setting", text))
    return rows


def _print(checked: Checked, types: Iterable[tuple[str, str, str]]) -> None:
    statement, analysis = checked.statement, checked.analysis
    print(f"{statement.name}  {statement.path}")
    if statement.description:
        print(printable(statement.description))
    if statement.deprecated:
        print(f"deprecated: {printable(statement.deprecated)}")
    print(f"returns {statement.returns}: {analysis.rows} ({printable(analysis.rows_because)})")
    facts = checked.parameters
    if statement.parameters or statement.choices or statement.setting_parameters:
        rows = []
        for parameter in statement.parameters:
            fact, bounds = facts[parameter.name], parameter.bounds
            has_default = bounds is not None and bounds.has_default
            name = _in_brackets_if_optional(parameter.name, parameter.optional or has_default)
            null = "yes" if fact.nullable else "no"
            text = printable(parameter.description or fact.comment)
            rows.append((name, printable(str(fact.type)), null, printable(fact.because), text))
        for choice in statement.choices:
            name = _in_brackets_if_optional(choice.name, choice.default is not None)
            values = "bool" if choice.is_flag else " or ".join(map(str, choice.values))
            because = "takes lines" if choice.is_flag else "chooses lines"
            rows.append((name, values, "no", because, printable(choice.description)))
        rows += _rows_of_settings(checked)
        _print_described(("parameter", "type", "null", "because"), rows)
    for setting in statement.settings:
        value = f":{setting.parameter}" if setting.value is None else setting.value
        print(f"set {setting.name} = {printable(value)}")
    for example in statement.examples:
        print(f"example {printable(example.text)}")
    if analysis.columns:
        _print_described(
            ("column", "type", "null", "because", "from"),
            [
                row
                for column in analysis.columns
                for row in (
                    (
                        printable(column.name),
                        printable(str(column.type)),
                        "yes" if column.nullable else "no",
                        printable(column.because),
                        printable(str(column.origin or "")),
                        printable(column_description(statement, column)),
                    ),
                    *((*map(printable, inside), "", "") for inside in shape_rows(column)),
                )
            ],
        )
    _print_lists(analysis)
    for name, type, because in types:
        print(printable(f"{name} is {type}: {because}"))
    for what in ("reads", "writes"):
        uses = {str(use) for variant in checked.variants for use in getattr(variant, what)}
        if uses:
            print(printable(f"{what} {', '.join(sorted(uses))}"))
    classes = classes_by_constraint(statement, analysis)
    for listed in dict.fromkeys(listed_violations(analysis, classes)):
        print(printable(f"may violate {listed}"))


def _print_lists(analysis: Analysis) -> None:
    """Print the keys of parents and of lists of child rows, and whether parents can be streamed."""
    proved = {level.path: level for level in analysis.levels}
    paths = levels_of(column.name for column in analysis.columns)
    if len(paths) == 1:
        return
    print_table(
        ("list", "key", "because"),
        [
            (
                printable(path.removesuffix(".") or "parents"),
                printable(", ".join(proved[path].key) if path in proved else "all columns"),
                printable(proved[path].because if path in proved else "no key is proved"),
            )
            for path in paths
        ],
    )
    print(
        "streams: the rows of a parent follow one another"
        if analysis.contiguous
        else "does not stream: the order does not begin with a key of the parent"
    )


def _print_described(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table whose last column has the texts, if there are any."""
    if any(row[-1] for row in rows):
        print_table((*heading, "description"), rows)
    else:
        print_table(heading, [row[:-1] for row in rows])


def _in_brackets_if_optional(name: str, may: bool) -> str:
    """Return a parameter's name, in brackets if it is optional."""
    return f"[{name}]" if may else name
