"""What a cached read depends on, and what a write may change: data only, derived by the analysis.

A read depends on whole tables, or on *partitions* of them: the rows in which a column equals one of its
parameters. A write changes rows of tables, of which it may know the same: ``column = value`` for every row
that it touches, before and after. Where both name the same column, a write leaves the reads of other values
alone; where the write does not name it, every read by that column is stale.

Partition columns are integers, uuids, texts and enums: equal is the same value. What is not given (a
parameter of optional lines) and null stand for no rows: nothing is equal to null, and a row whose column is
null is read by no equality.
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
"""A column; where its value comes from; the name of that parameter, or of that column of the result."""


@dataclass(frozen=True, slots=True)
class Change:
    """Rows of one table that a write may insert, update or delete."""

    table: str
    """With its schema; ``*``: any row of any table (``EVERYTHING``)."""
    known: tuple[Known, ...] = ()
    """Every row touched has, before and after, one of these values in these columns.

    A column that stands twice has one value before and another after: ``set d = :new where d = :old``.
    A column that the write may change without knowing both sides does not stand here at all, nor does one
    that is in no key or foreign key of the table and leads no index: rows are not looked up by it.
    """


EVERYTHING: Final = (Change("*"),)
"""The changes of a statement of which nothing is known: what it calls is hidden, or nobody analysed it."""


@dataclass(frozen=True, slots=True)
class CachedRead:
    """How a read is cached: its policy, as the header has it, and what it depends on. Times in seconds."""

    ttl: float
    dependencies: tuple[Dependency, ...]
    local: float | None = None
    stale: float | None = None
    negative: bool = True
    scoped: bool = False
    """True if the tenant and its user may decide about the result: it is then stored for each of them.

    False only where it is proved that no setting of theirs is read: by the query, by row-level security, by
    a view or by a function.
    """
    settings: tuple[str, ...] = ()
    """The settings that are read by name on the way to the result: their values are part of its key."""
