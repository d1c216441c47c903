"""Names for the parameters ``$1``, ``$2``, …, from the column that each is compared with or goes into."""

from __future__ import annotations

from typing import Final

from plainsql.importers.blocks import Block
from plainsql.importers.names import file_name
from plainsql.statements import Token

__all__ = ["inferred_names"]

_CLAUSES: Final = frozenset({"limit", "offset"})
_COMPARING: Final = frozenset({"like", "ilike"})


def inferred_names(block: Block) -> dict[str, str]:
    """Return a name for each ``$n``: its first place decides, and ``p1`` is the name if no column is near."""
    code = block.code
    columns = _inserted(block, code)
    found: dict[str, str] = {}
    for index, token in enumerate(code):
        if token.kind == "positional":
            key = block.text(token)
            name = columns.get(index) or _compared(block, code, index)
            if not found.get(key):
                found[key] = name
    return {key: name or f"p{key[1:]}" for key, name in found.items()}


def _compared(block: Block, code: tuple[Token, ...], index: int) -> str:
    """Return the name of the column before or after an operator next to a parameter; empty if none is."""
    before = index - 1
    word = block.word(code[before]) if before >= 0 else ""
    if word in _CLAUSES:
        return word
    plural = False
    if before >= 1 and code[before].kind == "open" and block.word(code[before - 1]) in ("any", "all"):
        before, plural = before - 2, True
    while before >= 1 and code[before].kind == "open" and code[before - 1].kind == "word" and not plural:
        if block.word(code[before - 1]) in ("in", "values", "and", "or", "where", "on"):
            return ""
        before -= 2  # a function of the parameter: lower($1)
    if before >= 1 and (code[before].kind == "operator" or block.word(code[before]) in _COMPARING):
        name = _column_that_ends(block, code, before - 1)
        if name:
            return f"{name}s" if plural else name
    if index + 2 < len(code) and code[index + 1].kind == "operator":
        after = index + 2
        while after + 2 < len(code) and code[after + 1].kind == "dot":
            after += 2
        if code[after].kind in ("word", "quoted_name"):
            return file_name(block.text(code[after]))
    return ""


def _column_that_ends(block: Block, code: tuple[Token, ...], index: int) -> str:
    """Return the column at an index, also in a function's brackets: ``lower(u.email)``."""
    token = code[index]
    if token.kind == "close" and index >= 2:
        return _column_that_ends(block, code, index - 1) if code[index - 1].kind != "open" else ""
    return file_name(block.text(token)) if token.kind in ("word", "quoted_name") else ""


def _inserted(block: Block, code: tuple[Token, ...]) -> dict[int, str]:
    """Return the column of each token within the first row of an insert's values."""
    words = [block.word(token) for token in code]
    if "insert" not in words or "values" not in words:
        return {}
    opened = next((i for i in range(words.index("insert"), len(code)) if code[i].kind == "open"), None)
    values = words.index("values")
    if opened is None or opened > values or values + 1 >= len(code):
        return {}
    columns = [
        file_name(block.text(token))
        for token in code[opened + 1 : values]
        if token.kind in ("word", "quoted_name")
    ]
    found: dict[int, str] = {}
    for start in (i + 1 for i in range(values, len(code) - 1) if _opens_row(code, values, i)):
        depth = place = 0
        for index in range(start, len(code)):
            kind = code[index].kind
            depth += (kind == "open") - (kind == "close")
            if not depth:
                break
            if kind == "comma" and depth == 1:
                place += 1
            elif place < len(columns):
                found[index] = columns[place]
    return found


def _opens_row(code: tuple[Token, ...], values: int, index: int) -> bool:
    return index == values and code[index + 1].kind == "open"
