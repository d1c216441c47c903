"""The statement that findings are about, and the positions of its parts in the text."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from plainsql.analysis.nodes import Node
from plainsql.analysis.nullability.query_nullability import Nullability
from plainsql.analysis.tree.query_tree import Scope
from plainsql.statements.scanner import scan

__all__ = ["Examined", "TextPositions"]


class TextPositions:
    """The conversion of the tree's byte offsets into positions in the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._bytes = text.encode()

    def of(self, node: Node | None) -> int:
        """Return the 1-based position in characters, or 0 if the node has none."""
        if node is None:
            return 0
        # A cast that the server added has no position: the expression inside of it has one.
        offsets = (part.number("location", -1) for part in node.walk())
        offset = next((offset for offset in offsets if offset >= 0), -1)
        if offset < 0 or offset > len(self._bytes):
            return 0
        return len(self._bytes[:offset].decode(errors="replace")) + 1

    def order_by(self, limit: int) -> int:
        """Return the position of the `order by` that belongs to a limit at this position, or 0.

        It is the last one before the limit inside of the same brackets; without a position, the last one
        outside of all brackets.
        """
        tokens = [t for t in scan(self.text, path="") if t.kind not in ("line_comment", "block_comment")]
        found = [0]
        for token, after in pairwise(tokens):
            if limit and token.start + 1 >= limit:
                return found[-1]
            words = [self.text[each.start : each.end].lower() for each in (token, after)]
            if words == ["order", "by"]:
                found[-1] = token.start + 1
            elif token.kind == "open":
                found.append(0)
            elif token.kind == "close" and len(found) > 1:
                found.pop()
        return found[-1]

    def of_words(self, *words: str, at: int = 0) -> int:
        """Return the position of the only place with these words in a row, or 0: of the word at an index."""
        tokens = [t for t in scan(self.text, path="") if t.kind not in ("line_comment", "block_comment")]
        texts = [self.text[token.start : token.end].lower() for token in tokens]
        found = [i for i in range(len(texts)) if texts[i : i + len(words)] == list(words)]
        return tokens[found[0] + at].start + 1 if len(found) == 1 else 0

    def text_from(self, node: Node, length: int = 80) -> str:
        """Return the text from a node's position on; empty if it has no position."""
        offset = node.number("location", -1)
        return self._bytes[offset : offset + length].decode(errors="replace") if offset >= 0 else ""


@dataclass(frozen=True, slots=True)
class Examined:
    """A statement to examine: its query, the prover of facts about it, and the positions of its parts."""

    scope: Scope
    prover: Nullability
    places: TextPositions
