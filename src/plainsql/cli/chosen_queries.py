"""The queries that the words of a command line name: by name, by file, or by pattern."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from plainsql.errors import SettingsError
from plainsql.statements import Statement
from plainsql.statements.header import close_match

__all__ = ["WILDCARDS", "choose_queries", "is_named"]

WILDCARDS: Final = "*?["
"""The characters of a pattern."""
_LIKENESS: Final = 0.6


def is_named(statement: Statement, names: set[str]) -> bool:
    """Return True if one of the names is that of the query, or of its file."""
    return statement.name in names or any(
        Path(name).resolve() == Path(statement.path).resolve() for name in names if name.endswith(".sql")
    )


def choose_queries(queries: Sequence[Statement], words: Sequence[str]) -> list[Statement]:
    """Return the queries that the words name, all without words.

    Raises ``SettingsError`` if a word names none.
    """
    chosen = [each for each in queries if not words]
    for word in words:
        found = [each for each in queries if is_named(each, {word}) or fnmatchcase(each.name, word)]
        if not found:
            meant = close_match(word, [each.name for each in queries], _LIKENESS)
            raise SettingsError(
                f"there is no query {word!r}",
                hint=f"did you mean {meant}?"
                if meant
                else "give a query's name, its file, or a pattern such as 'shop.orders.*'",
            )
        chosen += [each for each in found if each not in chosen]
    return [each for each in queries if each in chosen]
