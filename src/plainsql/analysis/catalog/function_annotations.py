"""Annotations of functions: comments that list the tables that a function reads and writes.

The analysis reads the body of a function only if it is SQL or a simple trigger. Its author annotates it in
the database, once for every statement that calls it or fires it::

    comment on function realty.keep_totals() is 'plainsql: writes realty.totals';
    comment on function realty.rank(bigint) is 'Its rank. plainsql: reads realty.leads, realty.visits';
    comment on function realty.whoami() is 'plainsql: reads nothing; writes nothing';

For tables that are distributed by a column, it also says that a function keeps to one value of it, that of
the row that fires it or of the session's setting::

    comment on function realty.keep_totals() is 'plainsql: writes realty.totals; keeps tenant_id';
"""

from __future__ import annotations

import re
from typing import Final, Literal

__all__ = ["annotated_tables", "kept_columns"]

_ANNOTATION: Final = re.compile(r"plainsql:(.*)")
_CLAUSE: Final = re.compile(r"(reads|writes|keeps) +(.+)")
_NAME: Final = re.compile(r"(?:(\w+)\.)?(\w+)")


def annotated_tables(comment: str, verb: Literal["reads", "writes"]) -> frozenset[tuple[str, str]] | None:
    """Return the tables, as ``(schema, name)``, that a comment lists as read or written.

    ``None`` if it lists none, or is written in another form. A name without a schema is one of ``public``.
    """
    found: set[tuple[str, str]] = set()
    said = False
    for line in _ANNOTATION.findall(comment):
        for text in line.strip().rstrip(".").split(";"):
            clause = _CLAUSE.fullmatch(text.strip())
            if clause is None:
                return None
            if clause[1] != verb:
                continue
            said = True
            if clause[2].strip() == "nothing":
                continue
            for name in clause[2].split(","):
                table = _NAME.fullmatch(name.strip())
                if table is None:
                    return None
                found.add((table[1] or "public", table[2]))
    return frozenset(found) if said else None


def kept_columns(comment: str) -> frozenset[str]:
    """Return the columns that a function keeps to one value of, by its comment."""
    found: set[str] = set()
    for line in _ANNOTATION.findall(comment):
        for text in line.strip().rstrip(".").split(";"):
            clause = _CLAUSE.fullmatch(text.strip())
            if clause is None:
                return frozenset()
            if clause[1] == "keeps":
                found.update(name.strip() for name in clause[2].split(","))
    return frozenset(found)
