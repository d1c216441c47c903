"""The query's name in a statement: every statement of plainsql ends in a comment with it.

A joined read, a batched write and a copy have text of plainsql's own behind the query.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

__all__ = ["Form", "NamedStatement", "name_of"]

Form = Literal["single", "joined", "batched", "copied", "streamed"]
"""``single``: one call, pipelined or not. ``joined``: a read for several calls. ``batched``: a write that
counts its rows. ``copied``: ``copy_out``. ``streamed``: the cursor of the synchronous executor; its rows are
in ``fetch`` statements without a name."""

_NAME: Final = r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*"
_NAMED: Final = re.compile(
    rf"""[ \n]/\*[ ](?P<name>{_NAME})[ ]\*/
    (?:
      (?P<joined>\n\)[ ]as[ ]plainsql_read)
    | (?P<batched>(?:\nreturning[ ][$\d]+)?\n\)\nselect[ ][^*]*\*[^*]*[ ]from[ ].*plainsql_write.*)
    | (?P<copied>\n\)[ ]to[ ]stdout[ ]\(format[ ][^()]*\))
    )?\Z""",
    re.VERBOSE,
)
_CURSOR: Final = re.compile(r"declare plainsql_\w+ no scroll cursor for\b")
# `explain` of a named statement does not run the query.
_EXPLAIN: Final = re.compile(r"\s*explain\b", re.IGNORECASE)


class NamedStatement(NamedTuple):
    """The query of a statement, and the form in which it ran."""

    name: str
    form: Form


def name_of(text: str) -> NamedStatement | None:
    """Return the query that a statement runs; None if it is not a statement of plainsql.

    The text is as it was sent, or as ``pg_stat_statements`` normalises it.
    """
    start = text.rfind("/* ")
    found = _NAMED.match(text, start - 1) if start > 0 else None
    if found is None or _EXPLAIN.match(text):
        return None
    form: Form = "single"
    if found["joined"]:
        form = "joined"
    elif found["batched"]:
        form = "batched"
    elif found["copied"]:
        form = "copied"
    elif _CURSOR.match(text):
        form = "streamed"
    return NamedStatement(found["name"], form)
