"""The text about a name in a SQL file: a parameter, a column, a table, a line of the header, a finding."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Final

from plainsql.analysis.model import SettingFact
from plainsql.check.finding_pages import finding_page
from plainsql.check.problem_rules import RULES
from plainsql.codegen import Checked
from plainsql.editor.edited_text import EditedText, Word
from plainsql.editor.schema_names import SchemaNames
from plainsql.review.model.sheets import ColumnSheet, TableSheet

__all__ = ["KEYS", "Hover", "hover_text", "signature"]

KEYS: Final = {
    "returns": "The number of rows, and the name of their type: `one Lead`, `optional Lead`, `many Lead`, "
    "`value`, `optional value`, `many value`, `count` or `copied`.",
    "param": "The bounds and the default of a parameter: `param limit: 1..200 = 50`.",
    "column": "A fact about a column that the analysis cannot prove: `column total: not null`.",
    "cache": "The time for which the result is cached: `cache: 5m`.",
    "allow": "A finding that you accept, with the reason: `allow: star: the table never changes`.",
    "autobatch": "`autobatch: off` keeps concurrent calls from sharing a round trip.",
    "example": "The values of a typical call: `example: id = 42`.",
    "error": "The class of the error of a constraint that a write may violate: "
    "`error leads_email_key: EmailTaken`.",
    "page": "`page: key`: the query has pages by key, and its order is proved to be total.",
    "deprecated": "The query to use instead: each call gives a `DeprecationWarning` with this text.",
    "set": "A setting of the server for this statement alone: `set: hnsw.ef_search = 100`, "
    "or `set: hnsw.ef_search = :ef` for a parameter of its calls.",
    "replica": "The query may run on a replica, which is behind by so much at most: `replica: yes, lag 5s`.",
}
"""The meaning of each key of a header."""
_FINDING: Final = re.compile(r"allow[ \t]*:[ \t]*(?P<name>[a-z][a-z-]*)")


class Hover:
    """A text in Markdown, and the offsets that it is about."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self.text = text
        self.start = start
        self.end = end


def hover_text(
    text: EditedText, offset: int, checked: Checked | None, names: SchemaNames, modules: Iterable[str] = ()
) -> Hover | None:
    """Return the text about the name at an offset.

    ``checked`` has the facts of the file's statement, if it was analysed; ``modules`` are the sources of the
    generated modules.
    """
    if text.header_line(offset) is not None:
        return _of_header(text, offset, checked, modules)
    word = text.word(offset)
    if word is None:
        return None
    if word.kind == "parameter":
        found = _of_parameter(checked, word.text)
    else:
        found = (
            _of_result(text, word, checked) or _of_column(names, text, word) or _of_table(names, text, word)
        )
    return Hover(found, word.begin, word.end) if found else None


def _of_header(
    text: EditedText, offset: int, checked: Checked | None, modules: Iterable[str]
) -> Hover | None:
    begin = text.text.rfind("\n", 0, offset) + 1
    end = text.text.find("\n", offset)
    end = len(text.text) if end < 0 else end
    line = text.text[begin:end]
    allowed = _FINDING.search(line)
    if allowed is not None and allowed["name"] in RULES and begin + allowed.start("name") <= offset:
        return Hover(
            finding_page(allowed["name"]), begin + allowed.start("name"), begin + allowed.end("name")
        )
    key = re.match(r"--[ \t]*(\w+)(?:[ \t]+(\w+))?[ \t]*:", line)
    if key is not None and key[1] in KEYS:
        parts = [f"`{key[1]}:` {KEYS[key[1]]}"]
        if key[1] == "returns" and checked is not None:
            parts.append(_rows(checked))
        if key[1] == "set" and (fact := _of_set(checked, text.text.count("\n", 0, begin) + 1)):
            parts.insert(0, fact)
        if key[1] == "param" and key[2] and (fact := _of_parameter(checked, key[2])):
            parts.insert(0, fact)
        return Hover("\n\n".join(parts), begin, begin + key.end())
    if checked is None:
        return None
    shown = [f"`{checked.statement.name}`"]
    if written := signature(checked, modules):
        shown.append(f"```python\n{written}\n```")
    return Hover("\n\n".join([*shown, _rows(checked)]), begin, end)


def _rows(checked: Checked) -> str:
    analysis = checked.analysis
    return f"returns `{checked.statement.returns}`: {analysis.rows} ({analysis.rows_because})"


def signature(checked: Checked, modules: Iterable[str]) -> str:
    """Return the call of a query as the generated module has it; empty if there is no module."""
    statement = checked.statement
    for source in modules:
        if f'("{statement.name}", ' not in source:
            continue
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and node.name == statement.function:
                given = ", ".join(
                    ast.unparse(argument) + (f" = {ast.unparse(default)}" if default is not None else "")
                    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
                )
                result = node.decorator_list[0]
                kind = result.func if isinstance(result, ast.Call) else result
                if isinstance(kind, ast.Subscript) and isinstance(kind.slice, ast.Tuple):
                    kind.slice = kind.slice.elts[0]  # the row, without the type of the parameters
                return f"{node.name}(db{', ' if given else ''}{given}) -> {ast.unparse(kind)}"
    return ""


def _of_parameter(checked: Checked | None, name: str) -> str:
    fact = checked.parameters.get(name) if checked is not None else None
    if fact is None:
        return _of_setting_parameter(checked, name)
    null = "may be null" if fact.nullable else "not null"
    written = (
        f"\n\nwritten to {', '.join(f'`{each}`' for each in fact.written_to)}" if fact.written_to else ""
    )
    return f"`:{name}` **{fact.type}**, {null}: {fact.because}{written}"


def _of_setting_parameter(checked: Checked | None, name: str) -> str:
    """Return the text about a parameter that only settings take."""
    facts = [] if checked is None else list(zip(checked.statement.settings, checked.settings, strict=False))
    own = [fact for setting, fact in facts if setting.parameter == name]
    parameter = next(
        (each for each in checked.statement.setting_parameters if each.name == name) if checked else iter(()),
        None,
    )
    if parameter is None or not own:
        return ""
    bounds = parameter.bounds
    parts = [f"`:{name}` **{_setting_type(own[0])}**"]
    if bounds is not None and (bounds.low, bounds.high) != (None, None):
        low, high = ("" if end is None else end for end in (bounds.low, bounds.high))
        parts.append(f"{low}..{high}")
    if bounds is not None and bounds.has_default:
        parts.append(
            "null by default: the session's value"
            if bounds.default is None
            else f"{str(bounds.default).lower() if isinstance(bounds.default, bool) else bounds.default}"
            " by default"
        )
    parts.append(f"the value of `{'` and `'.join(fact.name for fact in own)}`")
    return ", ".join(parts)


def _of_set(checked: Checked | None, line: int) -> str:
    """Return the text about the setting of a line, and about its parameter."""
    if checked is None:
        return ""
    for setting, fact in zip(checked.statement.settings, checked.settings, strict=False):
        if setting.place.line != line:
            continue
        limits = ""
        if (fact.low, fact.high) != (None, None):
            low, high = ("" if end is None else end for end in (fact.low, fact.high))
            limits = f", {low}..{high}"
        shown = f"`{fact.name}` **{_setting_type(fact)}**{limits}"
        own = _of_setting_parameter(checked, setting.parameter) if setting.parameter is not None else ""
        return f"{shown}\n\n{own}" if own else shown
    return ""


def _setting_type(fact: SettingFact) -> str:
    if fact.labels:
        return ", ".join(fact.labels)
    return f"{fact.type}, {fact.unit}" if fact.unit else fact.type


def _of_result(text: EditedText, word: Word, checked: Checked | None) -> str:
    """Return the text about a column of the result, if the word is its expression or its alias."""
    if checked is None or checked.statement.source != text.text:
        return ""
    variant = checked.texts[0] if checked.texts else checked.statement.variants()[0]
    for column in checked.analysis.columns:
        if not column.position:
            continue
        place = variant.place(column.position)
        if place.line and _offset(text.text, place.line, place.column) in (word.begin, word.start):
            null = "may be null" if column.nullable else "not null"
            origin = f"\n\nfrom `{column.origin}`" if column.origin else ""
            return f"`{column.name}` **{column.type}**, {null}: {column.because}{origin}"
    return ""


def _offset(text: str, line: int, column: int) -> int:
    start = 0
    for _ in range(line - 1):
        start = text.find("\n", start) + 1
    return start + column - 1


def _of_column(names: SchemaNames, text: EditedText, word: Word) -> str:
    found = names.column(text, word.text, word.qualifier)
    if found is None:
        return ""
    table, column = found
    comment = f"\n\n{column.comment}" if column.comment else ""
    keys = f"\n\npart of {', '.join(f'`{key}`' for key in column.keys)}" if column.keys else ""
    return f"`{table.name}.{column.name}` {column_facts(column)}{comment}{keys}"


def column_facts(column: ColumnSheet) -> str:
    """Return the type of a column, whether it may be null, and its default."""
    null = "not null" if column.not_null else "may be null"
    default = f", default `{column.default}`" if column.default else ""
    generated = f", {column.generated}" if column.generated else ""
    return f"**{column.type}**, {null}{default}{generated}"


def _of_table(names: SchemaNames, text: EditedText, word: Word) -> str:
    table = names.table(f"{word.qualifier}.{word.text}" if word.qualifier else word.text)
    table = table or names.of_alias(text, word.text)
    return _described(table) if table is not None else ""


def _described(table: TableSheet) -> str:
    lines = [f"{table.kind} `{table.name}`"]
    if table.comment:
        lines += ["", table.comment]
    lines += ["", "| column | type | null | default |", "|---|---|---|---|"]
    lines += [
        f"| `{column.name}` | {column.type} | {'no' if column.not_null else 'yes'} | "
        f"{column.default or column.generated} |".replace("\n", " ")
        for column in table.columns
    ]
    keys = [each for each in table.constraints if each.kind in ("primary key", "foreign key", "unique")]
    lines += ["", *(f"- {each.definition}" for each in keys)] if keys else []
    return "\n".join(lines)
