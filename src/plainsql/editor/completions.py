"""The names that can follow at a place of a SQL file: tables, columns, parameters, the header's words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Literal

from plainsql.analysis.model import ColumnFact
from plainsql.check.problems import FINDINGS
from plainsql.codegen import Checked
from plainsql.editor.edited_text import EditedText, HeaderLine
from plainsql.editor.hovers import KEYS, column_facts
from plainsql.editor.schema_names import SchemaNames
from plainsql.review.model.sheets import TableSheet
from plainsql.statements.suggestions import row_name

__all__ = ["Proposal", "proposals"]

_TABLE_FOLLOWS: Final = frozenset({"from", "join", "into", "update", "only", "table", "using"})
_SIMPLE: Final = re.compile(r"[a-z_][a-z0-9_$]*")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A name that can follow."""

    label: str
    kind: Literal["table", "column", "parameter", "keyword", "value"]
    detail: str = ""
    documentation: str = ""


def proposals(
    text: EditedText, offset: int, path: str, checked: Checked | None, names: SchemaNames
) -> list[Proposal]:
    """Return the names that can follow at an offset; ``checked`` has the facts of the last sound text."""
    header = text.header_line(offset)
    if header is not None:
        return list(_of_header(header, text, path, checked))
    if re.search(r"(?<![:\w]):\w*$", text.text[:offset]):
        return list(_parameters(text, checked, names))
    qualifier, _, before = text.typed(offset)
    if qualifier:
        table = names.of_alias(text, qualifier)
        if table is not None:
            return list(_columns(table))
        return [_table(each, each.name.partition(".")[2]) for each in names.in_schema(qualifier)]
    if before in _TABLE_FOLLOWS:
        found = [_table(table, names.written(table)) for table in names.tables.values()]
        return [*(Proposal(name, "table", "with item") for name in text.with_items), *found]
    return list(_in_scope(text, names))


def _of_header(
    header: HeaderLine, text: EditedText, path: str, checked: Checked | None
) -> Iterator[Proposal]:
    if not header.has_colon:
        if header.key == "param" and re.search(r"\bparam[ \t]+\w*$", header.before):
            yield from (Proposal(name, "parameter") for name in text.parameters)
        elif header.key == "column" and re.search(r"\bcolumn[ \t]+\S*$", header.before):
            for column in checked.analysis.columns if checked is not None else ():
                yield Proposal(column.name, "column", _detail(column))
        else:
            for key, meaning in KEYS.items():
                yield Proposal(
                    f"{key}: " if key not in ("param", "column") else f"{key} ", "keyword", meaning
                )
        return
    if header.key == "returns":
        row = row_name(PurePath(path).parent.name.removesuffix("s")) or "Row"
        for kind in ("one", "optional", "many"):
            yield Proposal(f"{kind} {row}", "value")
        yield from (
            Proposal(each, "value") for each in ("value", "optional value", "many value", "count", "copied")
        )
    elif header.key == "allow":
        for name, meaning in FINDINGS.items():
            yield Proposal(f"{name}: ", "value", meaning)
    elif header.key == "column":
        yield from (Proposal(each, "value") for each in ("not null", "nullable"))
    elif header.key == "autobatch":
        yield Proposal("off", "value")
    elif header.key == "replica":
        yield Proposal("yes", "value")
        yield Proposal("yes, lag 5s", "value")


def _detail(column: ColumnFact) -> str:
    return f"{column.type}, {'may be null' if column.nullable else 'not null'}"


def _parameters(text: EditedText, checked: Checked | None, names: SchemaNames) -> Iterator[Proposal]:
    facts = checked.parameters if checked is not None else {}
    seen = set()
    for name in text.parameters:
        seen.add(name)
        yield Proposal(name, "parameter", str(facts[name].type) if name in facts else "")
    # A parameter is often called as the column that it is compared with.
    for alias in text.tables:
        table = names.of_alias(text, alias)
        for column in table.columns if table is not None else ():
            if column.name not in seen and _SIMPLE.fullmatch(column.name):
                seen.add(column.name)
                yield Proposal(column.name, "parameter", column.type)


def _columns(table: TableSheet) -> Iterator[Proposal]:
    for column in table.columns:
        facts = column_facts(column).replace("**", "").replace("`", "")
        yield Proposal(_quoted(column.name), "column", facts, column.comment)


def _in_scope(text: EditedText, names: SchemaNames) -> Iterator[Proposal]:
    several = len(text.tables) > 1
    for alias, name in text.tables.items():
        yield Proposal(alias, "table", name)
        table = names.table(name)
        for column in _columns(table) if table is not None else ():
            label = f"{_quoted(alias)}.{column.label}" if several else column.label
            yield Proposal(label, "column", column.detail, column.documentation)


def _table(table: TableSheet, label: str) -> Proposal:
    return Proposal(".".join(map(_quoted, label.split("."))), "table", table.kind, table.comment)


def _quoted(name: str) -> str:
    return name if _SIMPLE.fullmatch(name) else '"' + name.replace('"', '""') + '"'
