"""The docstrings of generated modules: of queries with their parameters and tables, and of fields."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from plainsql.analysis.model import Analysis, TableUse
from plainsql.codegen.error_classes import own_violations
from plainsql.codegen.modules import QueryFunction
from plainsql.codegen.source_names import docstring_text, one_line
from plainsql.statements import Bounds

__all__ = ["field_docstring", "query_docstring"]


def field_docstring(text: str) -> str:
    """Return the docstring of a field as source; empty if it has no text."""
    return _indented(text) if text.strip() else ""


def query_docstring(function: QueryFunction, path: str) -> str:
    """Return the docstring of a query as source; ``path`` is its SQL file."""
    statement = function.statement
    text = statement.description.strip() or f"{statement.function.replace('_', ' ').capitalize()}."
    if statement.deprecated:
        text += f"\n\nDeprecated: {_sentence(one_line(statement.deprecated))}"
    facts = [*_parameters(function), *_tables(function.analysis), *_violations(function), f"SQL: {path}"]
    return _indented(text + "\n\n" + "\n".join(map(one_line, facts)) + "\n")


def _indented(text: str) -> str:
    written = f'"""{docstring_text(text)}"""\n'
    return textwrap.indent(written, "    ", lambda line: bool(line.strip()))


def _parameters(function: QueryFunction) -> list[str]:
    """Return a line for each parameter that has a text or bounds."""
    facts = {fact.name: fact.comment for fact in function.analysis.parameters}
    lines = []
    for parameter in function.statement.parameters:
        text = parameter.description or " ".join(facts.get(parameter.name, "").split())
        parts = [_sentence(text)] if text else []
        parts += [_range(parameter.bounds)] if parameter.bounds is not None else []
        lines += [f"{parameter.name}: {' '.join(filter(None, parts))}"] if any(parts) else []
    for choice in function.statement.choices:
        lines += [f"{choice.name}: {_sentence(choice.description)}"] if choice.description else []
    of_settings = {each.parameter: each.name for each in function.statement.settings}
    for parameter in function.statement.setting_parameters:
        text = parameter.description or f"the setting {of_settings[parameter.name]}"
        bounds = _range(parameter.bounds) if parameter.bounds is not None else ""
        lines.append(f"{parameter.name}: {_sentence(text)} {bounds}".rstrip())
    settings = [
        f"{each.name} = {each.value}" for each in function.statement.settings if each.value is not None
    ]
    return [*lines, f"Runs with {', '.join(settings)}."] if settings else lines


def _range(bounds: Bounds) -> str:
    if bounds.low is None and bounds.high is None:
        return ""
    low, high = ("" if end is None else end for end in (bounds.low, bounds.high))
    default = f", {bounds.default} by default" if bounds.has_default else ""
    return f"{low}..{high}{default}."


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


def _tables(analysis: Analysis) -> list[str]:
    def listed(uses: Iterable[TableUse]) -> str:
        return ", ".join(sorted({str(use) for use in uses}))

    lines = []
    if analysis.reads:
        lines.append(f"Reads {listed(analysis.reads)}.")
    if analysis.writes:
        lines.append(f"Writes {listed(analysis.writes)}.")
    return lines


def _violations(function: QueryFunction) -> list[str]:
    """Return the constraints of what the statement writes, and the tables of those that follow from it."""
    listed, tables = own_violations(function.analysis, function.errors)
    lines = [f"May violate {', '.join(listed)}."] if listed else []
    if tables:
        lines.append(f"Triggers and foreign keys may violate constraints of {', '.join(tables)}.")
    return lines
