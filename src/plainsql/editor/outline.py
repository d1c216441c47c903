"""The outline of a SQL file: its query, with its parameters and its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from plainsql.codegen import Checked
from plainsql.editor.edited_text import EditedText

__all__ = ["OutlineEntry", "outline"]


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    """A parameter or a column, and the offset of its first place."""

    name: str
    detail: str
    kind: Literal["parameter", "column"]
    start: int
    end: int


def outline(text: EditedText, checked: Checked | None) -> list[OutlineEntry]:
    """Return the parameters, then the columns of a file's query."""
    facts = checked.parameters if checked is not None else {}
    found: dict[str, OutlineEntry] = {}
    for token in text.tokens:
        if token.kind == "parameter":
            name = text.at(token)
            detail = str(facts[name[1:]].type) if name[1:] in facts else ""
            found.setdefault(name, OutlineEntry(name, detail, "parameter", token.start, token.end))
    columns = checked.analysis.columns if checked is not None else ()
    body = text.header_end
    return [
        *found.values(),
        *(OutlineEntry(each.name, str(each.type), "column", body, body) for each in columns),
    ]
