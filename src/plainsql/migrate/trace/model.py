"""The trace of a migration: the locks, rewrites, scans and index builds of each statement, and its hazards.

All structs are immutable, and msgspec encodes them as JSON. Tables and indexes are named as
``schema.name``, quoted if SQL needs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

__all__ = [
    "MODES",
    "TIME_CLASSES",
    "Blocks",
    "BuiltIndex",
    "Hazard",
    "LockComment",
    "MigrationTrace",
    "RelationLock",
    "Rewrite",
    "Scan",
    "Severity",
    "StatementTrace",
    "TableSize",
    "TimeClass",
    "blocked_by",
    "most_blocked",
]

Blocks = Literal["nothing", "writes", "reads and writes"]
"""The statements of the application that wait for a lock."""
Severity = Literal["error", "warning"]
TimeClass = Literal["instant", "seconds", "minutes", "grows with the table"]
"""The duration of a statement after it has its locks; the last one if no size is known."""
TIME_CLASSES: Final[tuple[TimeClass, ...]] = ("instant", "seconds", "minutes", "grows with the table")
MODES: Final = (
    "access share",
    "row share",
    "row exclusive",
    "share update exclusive",
    "share",
    "share row exclusive",
    "exclusive",
    "access exclusive",
)
"""The modes of locks on relations, from the weakest to the strongest."""


def blocked_by(mode: str) -> Blocks:
    """Return the statements of the application that wait for a lock of a mode on their table."""
    if mode == "access exclusive":
        return "reads and writes"
    return "writes" if MODES.index(mode) >= MODES.index("share") else "nothing"


def most_blocked(locks: Iterable[RelationLock]) -> Blocks:
    """Return the most that one of the locks blocks."""
    most: Blocks = "nothing"
    for lock in locks:
        if _LEAST_FIRST.index(lock.blocks) > _LEAST_FIRST.index(most):
            most = lock.blocks
    return most


_LEAST_FIRST: Final[tuple[Blocks, ...]] = ("nothing", "writes", "reads and writes")


class TableSize(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a table in production."""

    rows: float
    bytes: int
    """The bytes of its rows, without those of its indexes."""
    index_bytes: int = 0


class RelationLock(msgspec.Struct, frozen=True, kw_only=True):
    """A lock on a relation that existed before the migration, held until its transaction ends."""

    relation: str
    kind: str
    """``table``, ``index``, ``view``, ``materialized view``, ``sequence`` or ``foreign table``."""
    mode: str
    """The mode as PostgreSQL's documentation names it, in lower case: ``access exclusive``."""
    blocks: Blocks
    is_new: bool = False
    """True if an earlier migration of the same batch created the relation: production does not have it."""


class Rewrite(msgspec.Struct, frozen=True, kw_only=True):
    """A relation that existed before the migration, and whose file is written again."""

    relation: str
    kind: str
    """``table``, ``index`` or ``materialized view``."""
    table: str
    """The table itself, or that of the index."""
    is_new: bool = False


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """A table that existed before the migration, and whose rows are read from first to last."""

    table: str
    times: int = 1
    is_new: bool = False


class BuiltIndex(msgspec.Struct, frozen=True, kw_only=True):
    """An index that is built on a table that existed before the migration."""

    index: str
    table: str
    method: str = "btree"
    """Its access method: ``btree``, ``gin``, ``hnsw``, …"""
    is_new: bool = False


class Hazard(msgspec.Struct, frozen=True, kw_only=True):
    """A statement that may stop production, with the safe way to the same schema.

    docs/safe-migrations.md has a section for each ``name``.
    """

    name: str
    message: str
    hint: str
    path: str
    line: int
    column: int
    excerpt: str = ""
    detail: str | None = None
    tables: tuple[str, ...] = ()
    """The tables of the hazard: their sizes decide its severity."""
    severity: Severity = "error"
    allowed: str | None = None
    """The reason of the author, if a comment or a setting allows it; else ``None``."""


class StatementTrace(msgspec.Struct, frozen=True, kw_only=True):
    """The effects of one statement on relations that existed before its migration."""

    path: str
    line: int
    column: int
    sql: str
    """The text, from its first token to its last."""
    locks: tuple[RelationLock, ...] = ()
    """The locks that it takes and that no earlier statement of its transaction holds."""
    rewrites: tuple[Rewrite, ...] = ()
    scans: tuple[Scan, ...] = ()
    built_indexes: tuple[BuiltIndex, ...] = ()
    time: TimeClass = "instant"
    was_run: bool = True
    """False for ``alter system`` and the like, which would change the server that the trace uses."""

    @property
    def blocks(self) -> Blocks:
        """The most that one of its locks on existing relations blocks."""
        return most_blocked(lock for lock in self.locks if not lock.is_new)


class LockComment(msgspec.Struct, frozen=True, kw_only=True):
    """The ``Lock:`` comment of the author at the top of a migration."""

    text: str
    line: int
    contradictions: tuple[str, ...] = ()
    """The differences from the trace, a sentence each; empty if the comment agrees with it."""


class MigrationTrace(msgspec.Struct, frozen=True, kw_only=True):
    """The trace of one migration."""

    name: str
    """``realty/0008_search_indexes``, as ``plainsql migrate`` names it."""
    path: str
    transactional: bool
    statements: tuple[StatementTrace, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    """In the order of their places; those that are allowed have a reason."""
    lock_comment: LockComment | None = None

    @property
    def locks(self) -> tuple[RelationLock, ...]:
        """The strongest lock on each relation, in the order in which they are taken first."""
        strongest: dict[str, RelationLock] = {}
        for lock in (lock for statement in self.statements for lock in statement.locks):
            held = strongest.get(lock.relation)
            if held is None or MODES.index(lock.mode) > MODES.index(held.mode):
                strongest[lock.relation] = lock
        return tuple(strongest.values())

    @property
    def blocks(self) -> Blocks:
        """The most that one of its locks on existing relations blocks."""
        return most_blocked(lock for lock in self.locks if not lock.is_new)

    @property
    def time(self) -> TimeClass:
        """The longest time class of its statements."""
        longest: TimeClass = "instant"
        for each in self.statements:
            if TIME_CLASSES.index(each.time) > TIME_CLASSES.index(longest):
                longest = each.time
        return longest

    @property
    def open_hazards(self) -> tuple[Hazard, ...]:
        """The hazards that neither a comment nor a setting allows."""
        return tuple(hazard for hazard in self.hazards if hazard.allowed is None)
