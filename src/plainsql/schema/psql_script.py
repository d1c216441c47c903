"""A SQL script as psql reads it: statements, psql's own commands, and the rows of ``COPY … FROM stdin``.

The server parses the statements. The script is only split, so that a statement that is refused has a place,
and so that a part that cannot run in an empty database is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from plainsql.errors import SqlFileError
from plainsql.migrate.script import place_at

__all__ = ["Piece", "split"]


class Piece(NamedTuple):
    """A part of a script: ``text[piece.start : piece.end]``, without its semicolon or line end."""

    kind: Literal["statement", "command", "rows"]
    start: int
    end: int


# Everything that may hide a semicolon, or hold one. Other text is skipped by the search.
_TOKEN: Final = re.compile(
    r"""
    (?P<semicolon>;)
  | (?P<escape>(?<![\w$])e'(?:[^'\\]|\\.)*+(?:'|\Z))
  | (?P<string>'[^']*+(?:'|\Z))
  | (?P<name>"[^"]*+(?:"|\Z))
  | (?P<comment>--[^\r\n]*+)
  | (?P<block>/\*)
  | (?P<dollar>(?<![\w$])\$(?:[^\W\d]\w*+)?\$)
  | (?P<open>\()
  | (?P<close>\))
  | (?P<command>\\)
  | (?P<body>(?<![\w$])(?:begin\s+atomic|case|end)(?![\w$]))
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_BLANK: Final = re.compile(r"(?:[\s;]++|--[^\r\n]*+)*+")
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_LINE_END: Final = re.compile(r"\r\n?|\n|\Z")
_END_OF_ROWS: Final = re.compile(r"^\\\.\r?$", re.MULTILINE)
_ROUTINE: Final = re.compile(
    r"create\s+(?:or\s+replace\s+)?(?:function|procedure)(?![\w$])", re.IGNORECASE | re.DOTALL
)
_COPY_IN: Final = re.compile(r"copy\s.*\sfrom\s+stdin(?![\w$])", re.IGNORECASE | re.DOTALL)


def split(text: str, path: str) -> Iterator[Piece]:
    """Yield the pieces of a script in order.

    Raises ``SqlFileError`` if a command of psql is inside a statement, or if the rows of a ``COPY`` have no
    end.
    """
    at = _start(text, 0)
    while at < len(text):
        if text[at] == "\\":
            end = _end_of_line(text, at)
            yield Piece("command", at, end)
            at = _start(text, end)
            continue
        end, after = _end_of_statement(text, at, path)
        yield Piece("statement", at, end)
        if text[at : at + 4].lower() == "copy" and _COPY_IN.match(text, at, end):
            begin = _LINE_END.search(text, after)
            first = begin.end() if begin else len(text)
            last = _END_OF_ROWS.search(text, first)
            if last is None:
                raise SqlFileError(
                    "expected a line \\. after the rows of this copy, got none",
                    place=place_at(path, text, at),
                    hint="write the file again, or remove the copy: only the structure is read",
                )
            yield Piece("rows", first, last.start())
            after = last.end()
        at = _start(text, after)


def _start(text: str, at: int) -> int:
    """Return the offset of the first character that is neither white space nor in a comment."""
    while True:
        found = _BLANK.match(text, at)
        at = found.end() if found else at
        if not text.startswith("/*", at):
            return at
        at = _end_of_comment(text, at + 2)


def _end_of_statement(text: str, start: int, path: str) -> tuple[int, int]:
    """Return the end of the statement that starts at an offset, and the offset after its semicolon."""
    depth, at, last = 0, start, start
    atomic = False
    while found := _TOKEN.search(text, at):
        kind, at = found.lastgroup, found.end()
        if kind == "semicolon":
            if depth <= 0:
                return found.start(), at
        elif kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
        elif kind == "block":
            at = _end_of_comment(text, at)
        elif kind == "dollar":
            closing = text.find(found[0], at)
            at = len(text) if closing < 0 else closing + len(found[0])
        elif kind == "body":
            word = found[0][:4].lower()
            if word == "begi" and _ROUTINE.match(text, start):
                atomic, depth = True, depth + 1
            elif atomic and word != "begi":
                depth += 1 if word == "case" else -1
        elif kind == "command":
            raise SqlFileError(
                f"{text[found.start() : _end_of_line(text, at)]!r} is a command of psql inside a statement",
                place=place_at(path, text, found.start()),
                hint="end the statement before it with a semicolon, or remove the command",
            )
        if kind not in ("comment", "block"):
            last = at
    return max(last, len(text.rstrip())), len(text)


def _end_of_comment(text: str, at: int) -> int:
    """Return the end of a block comment that opens before ``at``: PostgreSQL's comments nest."""
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(text, at)
        if edge is None:
            return len(text)
        depth += 1 if edge.group() == "/*" else -1
        at = edge.end()
    return at


def _end_of_line(text: str, at: int) -> int:
    found = _LINE_END.search(text, at)
    return found.start() if found else len(text)
