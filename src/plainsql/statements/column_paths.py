"""The names of columns that make lists of child rows: ``orders[].id``, ``orders[].items[].sku``."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["LIST_MARK", "has_lists", "level_of", "levels_of", "parent_of"]

LIST_MARK = "[]."
"""The text between a list's name and the rest of a column's name."""


def has_lists(columns: Iterable[str]) -> bool:
    """Return whether any column is one of child rows."""
    return any(LIST_MARK in column for column in columns)


def level_of(column: str) -> str:
    """Return the prefix of the list that a column belongs to, ``orders[].``; empty for the parent's own.

    Every level is named by this prefix: the level of ``orders[].items[].sku`` is ``orders[].items[].``.
    """
    head, mark, _ = column.rpartition(LIST_MARK)
    return head + mark


def parent_of(level: str) -> str:
    """Return the level around another: that of ``orders[].items[].`` is ``orders[].``."""
    return level_of(level.removesuffix(LIST_MARK))


def levels_of(columns: Iterable[str]) -> list[str]:
    """Return all levels of a result's columns, each after the level around it; the parent's is ``""``."""
    found = [""]
    for column in columns:
        level, inner = level_of(column), list[str]()
        while level not in found:
            inner.append(level)
            level = parent_of(level)
        found += reversed(inner)
    return found
