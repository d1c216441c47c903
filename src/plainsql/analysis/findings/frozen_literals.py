"""Literals such as ``'now'`` that PostgreSQL replaces by their value when it parses a statement.

The tree has only the value. Its position leads to the text of the literal, and the text to the word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from plainsql.analysis.findings.examined import Examined
from plainsql.analysis.model import Finding, PgType
from plainsql.analysis.nodes import Node
from plainsql.statements.scanner import scan

__all__ = ["frozen_literals"]

_WORD: Final = re.compile(r"(?<![a-z])(now|today|tomorrow|yesterday)(?![a-z])", re.IGNORECASE)
_REPLACEMENTS: Final = {
    "date": {"tomorrow": "(current_date + 1)", "yesterday": "(current_date - 1)", "": "current_date"},
    "time": {"": "localtime"},
    "timetz": {"": "current_time"},
    "timestamp": {
        "now": "localtimestamp",
        "tomorrow": "(current_date + 1)",
        "yesterday": "(current_date - 1)",
        "": "current_date",
    },
    "timestamptz": {
        "now": "now()",
        "tomorrow": "(current_date + 1)",
        "yesterday": "(current_date - 1)",
        "": "current_date",
    },
}
"""By type and by word, the expression that is evaluated in every call."""

_STRING_CONTINUATION: Final = re.compile(r"'\s*(?:--[^\n]*\s*)*\n\s*'")
_ESCAPE: Final = re.compile(
    r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))", re.DOTALL
)
_UNICODE: Final = re.compile(r"\\(?:([0-9a-f]{4})|\+([0-9a-f]{6}))", re.IGNORECASE)


def frozen_literals(examined: Examined) -> Iterator[Finding]:
    """Yield the literals of a statement whose value is that of the moment of preparing."""
    if not _may_hold_one(examined.places.text):
        return
    seen: set[int] = set()
    for node in examined.scope.query.node.walk():
        temporal = _temporal_type(examined, node)
        position = examined.places.of(node) if temporal else 0
        if not position or position in seen:
            continue
        seen.add(position)
        literal = _literal(examined.places.text, position - 1)
        found = _WORD.search(literal)
        if found is not None:
            word = found[1].lower()
            instead = _REPLACEMENTS[temporal].get(word) or _REPLACEMENTS[temporal][""]
            verb = "write" if literal.strip().lower() == word else "build it from"
            yield Finding(
                "frozen-literal",
                f"'{word}' is replaced by its value when the statement is prepared, and stays that",
                position,
                f"{verb} {instead}",
            )


def _may_hold_one(text: str) -> bool:
    """Return whether it is worth the time to look at every constant."""
    return any((_WORD.search(text), _STRING_CONTINUATION.search(text), "\\" in text))


def _temporal_type(examined: Examined, node: Node) -> str:
    """Return the name of the date or time type that a constant has or contains; empty for any other."""
    if node.kind != "CONST" or node.flag("constisnull"):
        return ""
    return _temporal_part(examined.prover.catalog.type(node.number("consttype")))


def _temporal_part(type: PgType) -> str:
    if type.name in _REPLACEMENTS and type.schema == "pg_catalog":
        return type.name
    parts = [attribute.type for attribute in type.attributes]
    if type.element is not None:
        parts.append(type.element)
    return next((name for part in parts if (name := _temporal_part(part))), "")


def _literal(text: str, offset: int) -> str:
    """Return the value of the string literal at an offset; empty if none begins there."""
    tokens = scan(text, path="")
    token = next((token for token in tokens if token.start == offset and token.kind == "string"), None)
    if token is None:
        return ""
    written = text[token.start : token.end]
    if written.startswith("$"):
        return written.split("$", 2)[2].rpartition("$")[0].rpartition("$")[0]
    prefix, _, rest = written.partition("'")
    # Parts on separate lines are one literal.
    value = _STRING_CONTINUATION.sub("", rest[:-1])
    if prefix.lower() == "e":
        return _ESCAPE.sub(_unescaped, value)
    if prefix.lower() == "u&":
        return _UNICODE.sub(lambda code: _character(int(code[1] or code[2], 16)), value)
    return value


def _unescaped(found: re.Match[str]) -> str:
    for group, base in ((1, 16), (2, 16), (3, 16), (4, 8)):
        if found[group]:
            return _character(int(found[group], base))
    return found[5]


def _character(code: int) -> str:
    return chr(code) if code <= 0x10FFFF else "\ufffd"
