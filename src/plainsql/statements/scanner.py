"""PostgreSQL's lexical grammar: a text as tokens.

It follows the rules of the server's own ``scan.l`` (PostgreSQL 16 to 18, ``standard_conforming_strings`` on),
with one addition: ``:name`` is a token, a *parameter*. Everything that can hide a colon or a dollar is a
token of its own: strings of every kind with their continuations over lines, dollar quotes, quoted
identifiers, nested comments, ``::``, ``:=``, and identifiers, which may contain dollars.

One regular expression describes every token that is regular; nested comments and dollar quotes are not, and
code walks them. No repetition that a text could force to try again can backtrack, so the time is linear in
the length of the text. A repetition of a single character is possessive, ``[^']*+``; a repetition of a group
is atomic, ``(?>(?:…)*)``: CPython before 3.11.5 matches possessive groups wrongly (gh-106052, gh-100061).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final, Literal, NamedTuple, NoReturn, TypeAlias

from plainsql.statements.source import Source

__all__ = ["Kind", "Token", "scan"]

Kind: TypeAlias = Literal[
    "word",  # an identifier or keyword
    "quoted_name",  # "…", U&"…"
    "string",  # '…' of any kind, continuations included; $$…$$
    "number",
    "parameter",  # :name
    "positional",  # $1
    "operator",
    "cast",  # ::
    "assign",  # :=
    "colon",
    "dots",  # ..
    "open",  # ( or [
    "close",  # ) or ]
    "comma",
    "dot",
    "semicolon",
    "line_comment",  # to the end of the line, without the line end
    "block_comment",
]


class Token(NamedTuple):
    """A token and its place: ``text[token.start : token.end]``. White space is no token."""

    kind: Kind
    start: int
    end: int


_SPACE = r"[ \t\n\r\f\v]"
# Every character above ASCII is a letter to PostgreSQL. Classes of the excluded characters compile in a tenth
# of the time of classes that list all of Unicode.
_LETTER = r"[^\x00-@\[-^`{-\x7f]"
_TAG = r"[^\x00-/:-@\[-^`{-\x7f]"  # and digits
_NAME = r"[^\x00-#%-/:-@\[-^`{-\x7f]"  # and dollars
# The text between the parts of a string: white space and line comments, with a line end among them.
_COMMENT = r"--[^\n\r]*+"
_CONTINUED = rf"(?>[ \t\f\v]*+(?:{_COMMENT})?[\n\r]{_SPACE}*+(?:{_COMMENT}[\n\r]{_SPACE}*+)*)"
_PLAIN = r"[^']*+(?>(?:''[^']*+)*)'"
_BITS = r"[^']*+'"  # a quote cannot be doubled in these
_ESCAPED = r"[^'\\]*+(?>(?:(?:\\.|'')[^'\\]*+)*)'"
_DIGITS = r"[0-9](?:_?[0-9])*"

_TOKEN = rf"""{_SPACE}*+(?:
    (?P<word>(?![eEbBxX]'|[uU]&['"]){_LETTER}{_NAME}*+)
  | (?P<comma>,)
  | (?P<open>[(\[])
  | (?P<close>[)\]])
  | (?P<parameter>:[A-Za-z_][A-Za-z0-9_]*+)
  | (?P<string>[eE]'{_ESCAPED}(?:{_CONTINUED}'{_ESCAPED})*
              |(?:[uU]&)?'{_PLAIN}(?:{_CONTINUED}'{_PLAIN})*
              |[bBxX]'{_BITS}(?:{_CONTINUED}'{_BITS})*)
  | (?P<number>0[xX](?:_?[0-9A-Fa-f])+ | 0[oO](?:_?[0-7])+ | 0[bB](?:_?[01])+
             | (?:{_DIGITS}(?:\.(?!\.)(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][-+]?+{_DIGITS})?
    )(?P<junk>{_TAG}{_NAME}*+)?
  | (?P<dots>\.\.)
  | (?P<dot>\.)
  | (?P<line_comment>{_COMMENT})
  | (?P<nested>/\*)
  | (?P<operator>
        # Ends in + or - only if it holds one of the characters that no operator of the SQL standard has.
        # It has 63 characters at most; without that limit a long run of signs would be searched from each.
        (?>(?>(?:(?!/\*|--)[+\-*/<>=]){{0,62}})[~!@\#^&|`?%](?:(?!/\*|--)[~!@\#^&|`?%+\-*/<>=])*)
      | (?>(?:(?!/\*|--)[+\-*/<>=]){{0,62}}(?!/\*)[*/<>=])
      | [+\-])
  | (?P<cast>::)
  | (?P<assign>:=)
  | (?P<colon>:)
  | (?P<quoted_name>(?:[uU]&)?"[^"]*+(?>(?:""[^"]*+)*)")
  | (?P<semicolon>;)
  | (?P<positional>\$[0-9]++)
  | (?P<dollar>\$(?:{_LETTER}{_TAG}*+)?\$)
  | (?P<other>.)
    )"""
# Groups of the expression that are not tokens yet.
_UNUSUAL: Final = frozenset({"nested", "dollar", "other", "junk"})
# Texts: few SQL files need these expressions, which compile at their first use.
_NESTING: Final = r"/\*|\*/"
_PARAMETER_BEFORE: Final = r"(?<!:):[A-Za-z_][A-Za-z0-9_]*$"
# Letters to PostgreSQL, white space to the eye.
_INVISIBLE: Final = "[\x80-\xa0\xad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]"


def scan(text: str, *, path: str = "<text>", line: int = 1) -> list[Token]:
    """Divide a text into tokens, in order; only white space is between two of them.

    The text may hold any number of statements. ``path`` and ``line`` (of the text's first line) serve errors
    only.

    Raises:
        SqlFileError: a string, quoted name, comment or dollar quote has no end, or a character is not allowed
        in
            SQL.
    """
    if "\0" in text:
        raise Source(text, path, line).error(
            text.index("\0"), "a NUL character, which PostgreSQL does not accept", hint="remove it"
        )
    tokens: list[Token] = []
    append = tokens.append
    match = _compiled().match
    # A named tuple's own constructor takes half of the time of this loop.
    new = tuple.__new__
    unusual = _UNUSUAL if text.isascii() else _UNUSUAL | {"word"}
    position = 0
    while found := match(text, position):
        kind: Kind = found.lastgroup  # type: ignore[assignment]
        start, position = found.span(kind)
        if kind in unusual:
            kind, position = _resolve(Source(text, path, line), kind, start, position)
        append(new(Token, (kind, start, position)))
    return tokens


@cache
def _compiled() -> re.Pattern[str]:
    # Compiled at the first use, not at import: it takes milliseconds, and a process may never scan.
    return re.compile(_TOKEN, re.VERBOSE | re.DOTALL)


def _resolve(source: Source, kind: str, start: int, end: int) -> tuple[Kind, int]:
    """Return the kind and end of a match that is not a token yet."""
    if kind == "nested":
        return "block_comment", _end_of_comment(source, start)
    if kind == "dollar":
        return "string", _end_of_dollar_quote(source, start, end)
    if kind == "junk":
        raise source.error(
            start,
            f"{source.text[start:end]!r} touches the number before it",
            hint="put a space between them",
        )
    if kind == "other":
        _refuse(source, start)
    if blank := re.search(_INVISIBLE, source.text[start:end]):
        raise source.error(
            start + blank.start(),
            f"an invisible character, U+{ord(blank[0]):04X}, which PostgreSQL reads as a letter",
            hint="replace it with a space, or put the name into double quotes",
        )
    return "word", end


def _end_of_comment(source: Source, start: int) -> int:
    depth = 0
    for mark in re.compile(_NESTING).finditer(source.text, start):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return mark.end()
    raise source.error(
        start,
        "a comment has no end, expected */",
        detail="comments nest in PostgreSQL: each /* needs a */ of its own" if depth > 1 else None,
        hint="close the comment with */",
    )


def _end_of_dollar_quote(source: Source, start: int, after: int) -> int:
    mark = source.text[start:after]
    end = source.text.find(mark, after)
    if end < 0:
        raise source.error(
            start,
            f"a dollar-quoted string has no end, expected {mark}",
            hint=f"close the string with {mark}",
        )
    return end + len(mark)


def _refuse(source: Source, start: int) -> NoReturn:
    """Raise the error that says why no token begins at ``start``."""
    text = source.text
    character = text[start]
    if (quote := text[start : start + 3].lstrip("eEbBxXuU&")[:1]) and quote in "'\"":
        what = "a string" if quote == "'" else "a quoted name"
        raise source.error(
            start,
            f"{what} has no end, expected {quote}",
            hint=f"close it with {quote}; write {quote}{quote} for a {quote} inside it",
        )
    if character == "\\":
        raise source.error(
            start,
            "a backslash is not allowed in SQL",
            hint="remove it: a query file has no psql commands",
        )
    if character == "$" and re.search(_PARAMETER_BEFORE, text[max(start - 64, 0) : start]):
        raise source.error(
            start,
            "'$' is not allowed in the name of a parameter",
            hint="use the letters a to z, digits and underscores",
        )
    if character in "{}":
        raise source.error(
            start,
            f"the character {character!r} is not allowed in SQL",
            hint="write values as parameters, :name: nothing else is put into the text",
        )
    if character == "$":
        raise source.error(
            start,
            "a dollar that does not begin a dollar quote",
            hint="write $$ or $tag$, with a tag that has no dollars",
        )
    shown = f"{character!r}" if character.isprintable() else f"U+{ord(character):04X}"
    raise source.error(
        start, f"the character {shown} is not allowed in SQL", hint="remove it, or put it into quotes"
    )
