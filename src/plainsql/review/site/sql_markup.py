"""SQL as marked lines: the project's own scanner finds parameters, optional lines, keywords and tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from markupsafe import Markup, escape

from plainsql.errors import SqlFileError
from plainsql.statements.scanner import Token, scan

__all__ = ["SqlLine", "description_lines", "marked_lines"]

_BEFORE_TABLE: Final = frozenset({"from", "join", "into", "update", "table", "only", "using"})
_DIRECTIVE: Final = re.compile(
    r"--\s*(?:returns|param|column|cache|allow|autobatch|example|encrypted)\b[^:]*:"
)
_DOLLAR: Final = re.compile(r"\$\w*\$")
_MAX_DEPTH: Final = 3
_STYLES: Final = {"block_comment": "cm", "number": "nu", "positional": "pa", "cast": "op", "operator": "op"}
"""The CSS class of each kind of token whose neighbours do not matter."""

Link = Callable[[str], str]
"""The address of a table's page, from its name."""


class SqlLine(NamedTuple):
    """One line of SQL."""

    number: int
    html: Markup
    """The line with its marks, escaped."""
    is_optional: bool


class _Piece(NamedTuple):
    text: str
    style: str
    """A CSS class; empty for plain text."""
    link: str = ""


def marked_lines(
    text: str,
    *,
    tables: Collection[str] = (),
    link: Link = str,
    parameters: Mapping[str, str] | None = None,
    optional: Collection[int] = (),
    first_line: int = 1,
) -> list[SqlLine]:
    """Return the lines of a text.

    Args:
        text: SQL; if it cannot be scanned, its lines are plain.
        tables: the tables with pages, as ``schema.table``.
        link: the address of a table's page.
        parameters: the address for each parameter that has one.
        optional: the numbers of the lines that may be left out.
        first_line: the number of the first line.
    """
    pieces = _Pieces(tables, link, parameters or {})
    lines: list[list[Markup]] = [[]]
    for piece in pieces.of(text.rstrip("\n")):
        first, *rest = piece.text.split("\n")
        lines[-1].append(_html(first, piece))
        lines.extend([_html(part, piece)] for part in rest)
    return [
        SqlLine(number, Markup("").join(parts), number in optional)
        for number, parts in enumerate(lines, first_line)
    ]


@cache
def _keywords() -> frozenset[str]:
    text = (files("plainsql.review.site") / "sql_keywords.txt").read_text("ascii")
    return frozenset(text.split())


def _html(text: str, piece: _Piece) -> Markup:
    if not text:
        return Markup("")
    if piece.link:
        return Markup('<a class="{}" href="{}">{}</a>').format(piece.style, piece.link, text)
    if piece.style:
        return Markup('<span class="{}">{}</span>').format(piece.style, text)
    return escape(text)


def description_lines(text: str) -> int:
    """Return the number of comment lines at the top of a query's file before its first directive."""
    count = 0
    for line in text.split("\n"):
        if not line.startswith("--") or line.startswith("--?") or _DIRECTIVE.match(line):
            break
        count += 1
    return count


class _Pieces:
    """The pieces of a text, each with its style."""

    def __init__(self, tables: Collection[str], link: Link, parameters: Mapping[str, str]) -> None:
        self._tables = tables
        self._link = link
        self._parameters = parameters

    def of(self, text: str, depth: int = 0) -> Iterator[_Piece]:
        """Yield the pieces in order; together they are the text."""
        try:
            tokens = scan(text)
        except SqlFileError:
            yield _Piece(text, "")
            return
        position = skip = 0
        for at, token in enumerate(tokens):
            if at < skip:
                continue
            if position < token.start:
                yield _Piece(text[position : token.start], "")
            table, count = self._table(text, tokens, at)
            if table:
                end = tokens[at + count - 1].end
                yield _Piece(text[token.start : end], "tb", self._link(table))
                position, skip = end, at + count
                continue
            yield from self._token(text, tokens, at, depth)
            position = token.end
        if position < len(text):
            yield _Piece(text[position:], "")

    def _token(self, text: str, tokens: Sequence[Token], at: int, depth: int) -> Iterator[_Piece]:
        token = tokens[at]
        word = text[token.start : token.end]
        if token.kind == "word":
            yield _Piece(word, self._style_of_word(text, tokens, at))
        elif token.kind == "parameter":
            yield _Piece(word, "pa", self._parameters.get(word[1:], ""))
        elif token.kind == "string":
            yield from self._string(word, depth)
        elif token.kind == "line_comment":
            yield from _comment(word)
        else:
            yield _Piece(word, _STYLES.get(token.kind, ""))

    def _style_of_word(self, text: str, tokens: Sequence[Token], at: int) -> str:
        before = tokens[at - 1] if at else None
        after = tokens[at + 1] if at + 1 < len(tokens) else None
        if before is not None and before.kind == "cast":
            return "ty"
        if before is not None and before.kind == "dot":
            return "fn" if after is not None and after.kind == "open" else ""
        word = text[tokens[at].start : tokens[at].end].lower()
        called = after is not None and text[tokens[at].end : after.end] == "("
        if word in _keywords() and not (after is not None and after.kind == "dot"):
            return "kw"
        return "fn" if called else ""

    def _string(self, word: str, depth: int) -> Iterator[_Piece]:
        """Yield a string; the body of a function is SQL again."""
        mark = _DOLLAR.match(word)
        if mark is None or depth >= _MAX_DEPTH or "\n" not in word:
            yield _Piece(word, "st")
            return
        yield _Piece(mark[0], "st")
        yield from self.of(word[mark.end() : -len(mark[0])], depth + 1)
        yield _Piece(mark[0], "st")

    def _table(self, text: str, tokens: Sequence[Token], at: int) -> tuple[str, int]:
        """Return the table that begins at a token, and the number of its tokens; an empty name for none."""
        if tokens[at].kind not in ("word", "quoted_name"):
            return "", 0
        name = _name(text, tokens[at])
        before = tokens[at - 1] if at else None
        if before is not None and before.kind == "dot":
            return "", 0
        if at + 2 < len(tokens) and tokens[at + 1].kind == "dot":
            whole = f"{name}.{_name(text, tokens[at + 2])}"
            return (whole, 3) if whole in self._tables else ("", 0)
        if before is not None and text[before.start : before.end].lower() in _BEFORE_TABLE:
            whole = f"public.{name}"
            return (whole, 1) if whole in self._tables else ("", 0)
        return "", 0


def _name(text: str, token: Token) -> str:
    word = text[token.start : token.end]
    return word[1:-1].replace('""', '"') if word.startswith('"') else word.lower()


def _comment(word: str) -> Iterator[_Piece]:
    if word.startswith("--?"):
        yield _Piece(word, "om")
    elif match := _DIRECTIVE.match(word):
        yield _Piece(match[0], "di")
        yield _Piece(word[match.end() :], "dv")
    else:
        yield _Piece(word, "cm")
