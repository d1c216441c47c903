"""The queries of statements that the server has cut, so that the name at their end is missing.

``pg_stat_activity`` keeps the first ``track_activity_query_size`` bytes, 1024 by default.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from plainsql.statements import Statement

__all__ = ["is_cut", "name_of_beginning"]

_MAX_VARIANTS: Final = 256
"""The most texts of a query that are compared."""
_MIN_CHARACTERS: Final = 32
"""A shorter beginning says too little."""
_READ: Final = re.compile(r"\Aselect plainsql_read\.\*.*?\ncross join lateral \(\n", re.DOTALL)
_WRITE: Final = re.compile(r"\Awith plainsql_write as \(\n")
_CURSOR: Final = re.compile(r"\Adeclare plainsql_\w+ no scroll cursor for ")
_PARAMETER: Final = re.compile(r"\bplainsql_call\.plainsql_(\d+)\b")
_CUT_PARAMETER: Final = re.compile(r"\bplainsql_call\.?\w*\Z")
_UTF8_CHARACTER_BYTES: Final = 4


def is_cut(text: str, size: int) -> bool:
    """Return True if the end of a statement may be missing; ``size`` is ``track_activity_query_size``."""
    # The last byte ends the text, and a character is not cut in two.
    return len(text.encode()) >= size - _UTF8_CHARACTER_BYTES


def name_of_beginning(text: str, statements: Iterable[Statement]) -> str | None:
    """Return the one query whose text begins with this one; None if there is none, or more than one."""
    for around in (_READ, _WRITE, _CURSOR):
        text = around.sub("", text)
    text = _CUT_PARAMETER.sub("", _PARAMETER.sub(r"$\1", text))
    if len(text) < _MIN_CHARACTERS:
        return None
    names = (
        statement.name
        for statement in statements
        if text.startswith(_fixed_beginning(statement))
        and any(each.startswith(text) for each in _texts(statement))
    )
    found = list(islice(names, 2))
    return found[0] if len(found) == 1 else None


def _fixed_beginning(statement: Statement) -> str:
    """Return the beginning that all texts of a statement share: it spares making them."""
    lines, conditional, _ = statement.body.partition("--?")
    if conditional:
        lines = lines[: lines.rfind("\n") + 1]
    return lines.partition(":")[0][:_MIN_CHARACTERS].rstrip()


def _texts(statement: Statement) -> Iterator[str]:
    for variant in islice(statement.variants(), _MAX_VARIANTS):
        yield variant.sql
