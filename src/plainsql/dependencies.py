"""Dependencies of cached reads, and changes by writes: data only, derived by the analysis.

A read depends on whole tables, or on *partitions* of them: the rows in which a column equals one of its
parameters. A write changes rows of tables, and may know the same about them: ``column = value`` for every
row that it touches, before and after. If both name the same column, the write leaves the reads of other
values alone; if the write does not name it, every read by that column is stale.

Partition columns are integers, uuids, texts and enums: equal is the same value. A missing value (of
an optional line) and null mean no rows: null equals nothing, and no equality reads a row whose column is
null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

__all__ = ["EVERYTHING", "CachedRead", "Change", "Dependency", "Known"]


@dataclass(frozen=True, slots=True)
class Dependency:
    """Rows that a read depends on: of ``table``, those in which ``column`` equals ``parameter``."""

    table: str
    """With its schema: ``realty.messages``."""
    column: str | None = None
    """``None``: any row of the table."""
    parameter: str | None = None
    """The name of the read's parameter; given with ``column``."""


Known: TypeAlias = tuple[str, Literal["parameter", "returned"], str]
"""A column; the source of its value; the name of that parameter, or of that column of the result."""


@dataclass(frozen=True, slots=True)
class Change:
    """Rows of one table that a write may insert, update or delete."""

    table: str
    """With its schema; ``*``: any row of any table (``EVERYTHING``)."""
    known: tuple[Known, ...] = ()
    """Every row touched has, before and after, one of these values in these columns.

    A column that occurs twice has one value before and another after: ``set d = :new where d = :old``.
    A column that the write may change without knowing both values does not occur. Nor does a column that is
    in no key or foreign key of the table and leads no index: rows are not looked up by it.
    """


EVERYTHING: Final = (Change("*"),)
"""The changes of an unknown statement: its calls are hidden, or it was not analysed."""


@dataclass(frozen=True, slots=True)
class CachedRead:
    """The caching of a read: its policy, as the header has it, and its dependencies. Times in seconds."""

    ttl: float
    dependencies: tuple[Dependency, ...]
    local: float | None = None
    stale: float | None = None
    negative: bool = True
    scoped: bool = False
    """True if the tenant and its user may decide about the result: it is then stored for each of them.

    False only if it is proved that no setting of theirs is read: by the query, by row-level security, by a
    view or by a function.
    """
    settings: tuple[str, ...] = ()
    """The settings that the result depends on by name: their values are part of its key."""
