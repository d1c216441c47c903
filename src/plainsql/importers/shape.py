"""The result of a statement, as far as its text shows it: columns or none, one of them or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from plainsql.importers.blocks import Block
from plainsql.statements import Token

__all__ = ["always_returns_row", "at_top", "has_columns", "is_definition", "is_single_column"]

_MAIN: Final = frozenset({"select", "insert", "update", "delete", "merge", "values", "table"})
_AFTER_LIST: Final = frozenset(
    {
        *("from", "where", "group", "having", "window", "union", "intersect", "except", "order"),
        *("limit", "offset", "fetch", "for", "into"),
    }
)
_DEFINING: Final = frozenset({"create", "alter", "drop", "grant", "revoke", "comment"})


def at_top(block: Block) -> list[Token]:
    """Return the tokens of the statement itself, outside of brackets."""
    found: list[Token] = []
    depth = 0
    for token in block.code:
        depth -= token.kind == "close"
        if not depth:
            found.append(token)
        depth += token.kind == "open"
    return found


def has_columns(block: Block) -> bool:
    """Report whether the statement returns columns."""
    words = _words(block)
    main = next((word for word in words if word in _MAIN), "")
    if not words or (words[0] not in _MAIN and words[0] != "with" and block.code[0].kind == "word"):
        return False
    return main in ("select", "values", "table", "") or "returning" in words


def is_single_column(block: Block) -> bool:
    """Report whether the statement returns just one column; False if ``*`` leaves it open."""
    top = at_top(block)
    words = [block.word(token) for token in top]
    main = next((index for index, word in enumerate(words) if word in _MAIN), None)
    if main is None:
        return False
    if words[main] == "select":
        start = main + 1
        if words[start : start + 1] == ["distinct"]:
            start += 1
            if words[start : start + 1] == ["on"]:  # its list is in the brackets, which are two tokens here
                start += 3
        end = next((i for i in range(start, len(top)) if words[i] in _AFTER_LIST), len(top))
    elif "returning" in words:
        start, end = words.index("returning") + 1, len(top)
    else:
        return False
    items = top[start:end]
    return bool(items) and not any(
        item.kind == "comma" or _is_star(block, items, i) for i, item in enumerate(items)
    )


def always_returns_row(block: Block) -> bool:
    """Report whether an insert returns a row in every case: of values, and without ``do nothing``."""
    words = _words(block)
    if words[:1] != ["insert"] or "values" not in words:
        return False
    conflict = words[words.index("conflict") :] if "conflict" in words else []
    return "nothing" not in conflict and "where" not in conflict


def is_definition(block: Block) -> bool:
    """Report whether the statement changes the schema, as a migration does."""
    return _words(block)[:1] != [] and _words(block)[0] in _DEFINING


def _words(block: Block) -> list[str]:
    return [word for token in at_top(block) if (word := block.word(token))]


def _is_star(block: Block, items: Sequence[Token], index: int) -> bool:
    """Report whether an item is ``*`` or ends in ``.*``, not a product."""
    if items[index].kind != "operator" or block.text(items[index]) != "*":
        return False
    return index == 0 or items[index - 1].kind in ("dot", "comma")
