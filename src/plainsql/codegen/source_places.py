"""Places in a query's file for errors: the line of a key, a column, the statement."""

from __future__ import annotations

import re

from plainsql.analysis.model import ColumnFact
from plainsql.errors import Place
from plainsql.statements import Statement
from plainsql.statements.source import Source

__all__ = ["column_place", "key_place", "statement_place"]


def statement_place(statement: Statement) -> Place:
    """Return the place of a statement's first word."""
    body = statement.compiled.source
    return body.place(len(body.text) - len(body.text.lstrip()))


def key_place(statement: Statement, key: str) -> Place:
    """Return the place of a key of the header; that of the statement, if the key is missing."""
    found = re.search(rf"^[ \t]*--[ \t]*({key})[ \t]*:", statement.source, re.MULTILINE)
    if found is None:
        return statement_place(statement)
    return Source(statement.source, statement.path).place(found.start(1))


def column_place(statement: Statement, column: ColumnFact) -> Place:
    """Return the place of a result column: its alias, or its expression."""
    if not column.position:
        return statement_place(statement)
    return statement.variants()[0].place(column.position)
