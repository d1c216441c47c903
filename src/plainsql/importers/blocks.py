"""The queries of a file that holds several: each begins with a comment that names it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from plainsql.errors import SqlFileError
from plainsql.statements import Token
from plainsql.statements.source import Source

__all__ = ["COMMENTS", "Block", "Mark", "divide_at_marks", "next_on_line"]

COMMENTS: Final = frozenset({"line_comment", "block_comment"})


@dataclass(frozen=True, slots=True)
class Mark:
    """A comment that names a query."""

    offset: int
    """The offset of the name."""
    name: str
    kind: str
    """The sign or word of the tool for what the query returns; may be empty."""
    record: str = ""
    """The name of the row's class, if the tool has one."""
    docs: tuple[str, ...] = ()
    lists: tuple[tuple[str, tuple[str, ...] | None, bool], ...] = ()
    """pgtyped's ``@param``: the name, the keys (None for single values), and whether it is repeated."""


@dataclass(frozen=True, slots=True)
class Block:
    """A query of a file: its mark, and the tokens of its statement."""

    source: Source
    mark: Mark
    docs: tuple[str, ...]
    """The lines of the comments above the statement."""
    tokens: tuple[Token, ...]
    """The tokens from the first one of the statement to the last, with comments between them."""

    def text(self, token: Token) -> str:
        """Return the text of a token."""
        return self.source.text[token.start : token.end]

    def word(self, token: Token) -> str:
        """Return the word in lower case; empty if the token is none."""
        return self.text(token).lower() if token.kind == "word" else ""

    @property
    def code(self) -> tuple[Token, ...]:
        """The tokens that are no comments."""
        return tuple(token for token in self.tokens if token.kind not in COMMENTS)


def divide_at_marks(
    source: Source,
    tokens: list[Token],
    read: Callable[[Source, Token], Mark | None],
    errors: list[SqlFileError],
) -> tuple[list[Block], Token | None]:
    """Return the blocks of a file, and the first token of a statement above the first mark.

    ``read`` returns the mark that a comment is, or None. It raises ``SqlFileError`` for a mark of another
    tool: the error goes to ``errors``, and that query is left out.
    """
    starts: list[tuple[int, Mark | None]] = []
    for index, token in enumerate(tokens):
        if token.kind in COMMENTS and _begins_line(source.text, token.start):
            try:
                mark = read(source, token)
            except SqlFileError as error:
                errors.append(error)
                starts.append((index, None))
            else:
                if mark is not None:
                    starts.append((index, mark))
    first = starts[0][0] if starts else len(tokens)
    stray = next((token for token in tokens[:first] if token.kind not in COMMENTS), None)
    ends = [*(index for index, _ in starts), len(tokens)][1:]
    blocks = []
    for (index, mark), end in zip(starts, ends, strict=False):
        if mark is None:
            continue
        inside = tokens[index + 1 : end]
        codes = [place for place, token in enumerate(inside) if token.kind not in COMMENTS]
        statement = inside[codes[0] : codes[-1] + 1] if codes else []
        while statement and (statement[-1].kind == "semicolon" or statement[-1].kind in COMMENTS):
            statement.pop()
        above = list(_comments_above(source.text, tokens, index))
        below = inside[: codes[0]] if codes else []
        docs = [line for token in (*above, *below) for line in _lines(source.text[token.start : token.end])]
        blocks.append(Block(source, mark, (*mark.docs, *docs), tuple(statement)))
    return blocks, stray


def next_on_line(source: Source, token: Token, expression: re.Pattern[str]) -> re.Match[str] | None:
    """Return the match of an expression with the whole text of a comment."""
    return expression.fullmatch(source.text, token.start, token.end)


def _begins_line(text: str, offset: int) -> bool:
    return not text[text.rfind("\n", 0, offset) + 1 : offset].strip()


def _comments_above(text: str, tokens: list[Token], index: int) -> Iterator[Token]:
    """Yield the comments that end right above a mark and begin a line, in their order."""
    first = index
    while first and tokens[first - 1].kind in COMMENTS:
        before = tokens[first - 1]
        gap = text[before.end : tokens[first].start]
        if gap.count("\n") != 1 or not _begins_line(text, before.start):
            break
        first -= 1
    yield from tokens[first:index]


def _lines(comment: str) -> list[str]:
    """Return the lines of a comment without its signs."""
    if comment.startswith("--"):
        line = comment[2:].rstrip()
        return [line.removeprefix(" ")]
    lines = [line.strip() for line in comment[2:-2].split("\n")]
    return [re.sub(r"^\*+ ?", "", line) for line in lines]
