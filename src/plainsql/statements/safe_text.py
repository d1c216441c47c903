"""A statement of another program, shortened so that it shows no value.

Constants become ``?`` and comments are left out. A statement that is not a query may hold a secret in any
place (``alter role … password``, ``set``, ``create subscription``). It is cut behind the names of its kind
and its object.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from plainsql.errors import SqlFileError
from plainsql.statements.scanner import Token, scan

__all__ = ["safe_text"]

_QUERIES: Final = frozenset({"select", "insert", "update", "delete", "merge", "with", "values", "table"})
_KIND_WORDS: Final = frozenset(
    [
        *("create", "alter", "drop", "comment", "or", "replace", "unique", "temp", "temporary", "unlogged"),
        *("concurrently", "if", "not", "exists", "only", "materialized", "foreign", "event", "default"),
        *("table", "index", "view", "sequence", "schema", "function", "procedure", "type", "domain"),
        *("extension", "trigger", "policy", "role", "user", "database", "system", "server", "publication"),
        *("subscription", "privileges", "tablespace", "vacuum", "analyze", "full", "verbose", "freeze"),
        *("truncate", "lock", "reindex", "cluster", "refresh", "copy", "start", "transaction"),
    ]
)
"""The words that say what kind of statement it is."""
_WITH_NAME: Final = frozenset(
    [
        *("table", "index", "view", "sequence", "schema", "function", "procedure", "type", "domain"),
        *("extension", "vacuum", "analyze", "truncate", "reindex", "cluster", "copy", "full", "verbose"),
        *("concurrently", "exists", "only", "freeze"),
    ]
)
"""The words that the name of a relation or another object without secrets follows."""
_HIDDEN: Final = frozenset({"string", "number"})
_COMMENTS: Final = frozenset({"line_comment", "block_comment"})
_NO_SPACE_BEFORE: Final = frozenset({"comma", "dot", "cast", "semicolon"})
_NO_SPACE_AFTER: Final = frozenset({"dot", "cast"})


def safe_text(text: str, most: int = 80) -> str:
    """Return at most ``most`` characters of a statement on one line, without constants and comments."""
    # With standard_conforming_strings off, a quote behind a backslash does not end a string.
    begin, backslash, _ = text.partition("\\'")
    tokens, is_cut = _tokens(begin)
    is_cut = is_cut or bool(backslash)
    if not tokens:
        return "…"
    first = text[tokens[0].start : tokens[0].end].lower()
    if first in _QUERIES or tokens[0].kind == "open":
        shown, rest = _query(text, tokens)
    else:
        shown, rest = _utility(text, tokens)
    if is_cut or rest or len(shown) > most:
        return shown[: most - 2].rstrip() + " …"
    return shown


def _tokens(text: str) -> tuple[list[Token], bool]:
    """Return the tokens without comments, and True if the end of the text is missing.

    The server cuts long statements, also in the middle of a string.
    """
    try:
        tokens = scan(text)
    except SqlFileError as error:
        end = _offset(text, error)
        try:
            tokens = scan(text[:end])
        except SqlFileError:
            tokens = []
        return [token for token in tokens if token.kind not in _COMMENTS], True
    return [token for token in tokens if token.kind not in _COMMENTS], False


def _offset(text: str, error: SqlFileError) -> int:
    """Return the place of an error in the text: all that is before it was read."""
    place = error.place
    if place is None or not place.line:
        return 0
    lines = text.split("\n")
    return sum(len(line) + 1 for line in lines[: place.line - 1]) + max((place.column or 1) - 1, 0)


def _query(text: str, tokens: list[Token]) -> tuple[str, bool]:
    """Return the first statement of a text with ``?`` for constants, and True if others follow it."""
    parts: list[str] = []
    before = ""
    for at, token in enumerate(tokens):
        if token.kind == "semicolon":
            return "".join(parts), at + 1 < len(tokens)
        part = "?" if token.kind in _HIDDEN else text[token.start : token.end]
        glued = token.kind in _NO_SPACE_BEFORE or before in _NO_SPACE_AFTER or before == "open"
        if parts and not glued and not (token.kind in ("close", "open") and _touches(text, token)):
            parts.append(" ")
        parts.append(part)
        before = token.kind
    return "".join(parts), False


def _touches(text: str, token: Token) -> bool:
    return token.kind == "close" or not text[token.start - 1].isspace()


def _utility(text: str, tokens: list[Token]) -> tuple[str, bool]:
    """Return the kind of a statement with the name of its object, and True if more follows."""
    words = list(_words(text, tokens))
    kinds = 1
    while kinds < len(words) and words[kinds] in _KIND_WORDS:
        kinds += 1
    shown = " ".join(words[:kinds])
    if words[0] in _KIND_WORDS and words[kinds - 1] in _WITH_NAME and kinds < len(tokens):
        name, kinds = _name(text, tokens, kinds)
        shown += f" {name}" if name else ""
    return shown, kinds < len(tokens)


def _words(text: str, tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        if token.kind != "word":
            return
        yield text[token.start : token.end].lower()


def _name(text: str, tokens: list[Token], at: int) -> tuple[str, int]:
    """Return the dotted name that begins at a token, and the index of the token behind it."""
    parts: list[str] = []
    while at < len(tokens) and tokens[at].kind in ("word", "quoted_name"):
        parts.append(text[tokens[at].start : tokens[at].end])
        at += 1
        if at >= len(tokens) or tokens[at].kind != "dot":
            break
        at += 1
    return ".".join(parts), at
