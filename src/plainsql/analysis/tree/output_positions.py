"""The positions of a statement's result columns in its text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import Scope, ungrouped
from plainsql.statements.scanner import Token, scan

__all__ = ["OutputPositions"]

# Words that end an item of a select list, as a comma does.
_WORDS_ENDING_ITEM: Final = frozenset(
    {
        *("from", "where", "group", "having", "window", "union", "intersect", "except", "order", "limit"),
        *("offset", "fetch", "for", "into"),
    }
)


class OutputPositions:
    """The select list, or the ``returning`` list, of a statement."""

    def __init__(self, sql: str, scope: Scope) -> None:
        self._sql = sql
        self._scope = scope
        self._entries = scope.query.outputs
        self._bytes = None if sql.isascii() else sql.encode()

    @cached_property
    def tokens(self) -> list[Token]:
        """Return the text's tokens, without comments."""
        return [
            token for token in scan(self._sql, path="") if token.kind not in ("line_comment", "block_comment")
        ]

    def positions(self, names: Sequence[str]) -> list[int]:
        """Return the 1-based position of each column's alias, else of its expression; 0 if it is not
        known.
        """
        if len(names) != len(self._entries):
            return [0] * len(names)
        return [self._position(entry, name) for entry, name in zip(self._entries, names, strict=True)]

    def _position(self, entry: Node, name: str) -> int:
        start = self.offset(entry)
        if start < 0:
            return 0
        alias = self._alias(start, name)
        return (start if alias is None else alias) + 1

    def offset(self, entry: Node) -> int:
        """Return the offset of the first character of a target entry's expression, or -1."""
        expression = entry.node("expr")
        if expression is None:
            return -1
        offsets = [part.number("location", -1) for part in ungrouped(expression, self._scope).walk()]
        first = min((offset for offset in offsets if offset >= 0), default=-1)
        if first > 0 and self._bytes is not None:
            return len(self._bytes[:first].decode(errors="replace"))
        return first

    def _alias(self, start: int, name: str) -> int | None:
        """Return the offset of the alias in the item of the list that begins at ``start``."""
        found: int | None = None
        before = ""
        for token in self._item(start):
            text = self._sql[token.start : token.end]
            if before == "as" and _folded(text) == name:
                found = token.start
            before = text.lower()
        return found

    def _item(self, start: int) -> Iterator[Token]:
        """Yield the tokens from ``start`` to the end of the item, except those inside of brackets."""
        depth = 0
        for token in self.tokens:
            if token.start < start:
                continue
            if token.kind == "open":
                depth += 1
            elif token.kind == "close":
                # An expression may begin inside of a bracket: `cast(a as int) as b`.
                depth = max(depth - 1, 0)
            elif depth:
                continue
            elif token.kind == "comma" or (
                token.kind == "word" and self._sql[token.start : token.end].lower() in _WORDS_ENDING_ITEM
            ):
                return
            else:
                yield token


def _folded(text: str) -> str:
    """Return a name as PostgreSQL folds it."""
    return text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()
