"""Statements that are not queries: they begin or end a transaction, or leave something in the session.

A connection serves one call, and later another: a transaction that a file opens, a setting, a cursor or a
prepared statement would be the next caller's.
"""

from __future__ import annotations

import re
from typing import Final

from plainsql.errors import SqlFileError
from plainsql.statements.copy_statement import copy_error
from plainsql.statements.scanner import scan
from plainsql.statements.source import Source

__all__ = ["check_kind"]

_TRANSACTIONS: Final = (
    "a query file cannot begin, end or divide a transaction",
    "run queries within db.transaction(): it commits, rolls back and nests",
)
_PREPARED: Final = (
    "a query file cannot prepare statements or run prepared ones",
    "write the statement itself: it is prepared at its first call",
)
_CURSORS: Final = (
    "a query file cannot hold a cursor",
    "write the query itself, and read its rows with db.stream",
)
_LISTENING: Final = ("a query file cannot listen", "use db.listen, which yields the notifications")
_SETTINGS: Final = (
    "a query file cannot change the session",
    "run within db.transaction(): select set_config('work_mem', :value, true)",
)
_RESETS: Final = (
    "a query file cannot reset the session",
    "remove it: a connection is reset before its next call",
)
_KINDS: Final = {
    **dict.fromkeys(
        ("begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"), _TRANSACTIONS
    ),
    **dict.fromkeys(("prepare", "execute", "deallocate"), _PREPARED),
    **dict.fromkeys(("declare", "fetch", "move", "close"), _CURSORS),
    **dict.fromkeys(("listen", "unlisten"), _LISTENING),
    **dict.fromkeys(("reset", "discard"), _RESETS),
    "set": _SETTINGS,
    "load": ("a query file cannot load a library", "put it into the settings of the server"),
}
"""The message and the hint, by the statement's first word."""
_FIRST: Final = re.compile(r"\s*(\w+)")


def check_kind(source: Source) -> SqlFileError | None:
    """Return the error of a statement's kind, or None for a query."""
    first = _FIRST.match(source.text)
    if first is not None and first[1].lower() not in (*_KINDS, "copy"):  # nearly always
        return None
    words = [
        (token.start, source.text[token.start : token.end].lower())
        for token in scan(source.text, path=source.path, line=source.line)
        if token.kind not in ("line_comment", "block_comment")
    ]
    if words and words[0][1] == "copy":
        return copy_error(source)
    if not words or words[0][1] not in _KINDS:
        return None
    texts = [text for _, text in words]
    message, hint = _KINDS[texts[0]]
    if texts[0] == "set":
        if texts[1:2] == ["constraints"]:  # no function does this, and it ends with the transaction
            return None
        if "transaction" in texts[1:5]:
            hint = "use db.transaction(isolation='serializable', read_only=True)"
    elif texts[:2] == ["prepare", "transaction"]:
        message, hint = _TRANSACTIONS
    return source.error(words[0][0], message, hint=hint)
