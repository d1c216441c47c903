"""The effects of one recorded statement on the relations that existed before its migration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Final

from plainsql.migrate.trace.model import (
    MODES,
    Blocks,
    BuiltIndex,
    RelationLock,
    Rewrite,
    Scan,
    blocked_by,
)
from plainsql.migrate.trace.recorded_run import RecordedStatement
from plainsql.migrate.trace.snapshot import Column, Constraint, Relation, Snapshot

__all__ = ["Effects", "quoted"]

_KINDS: Final = {
    "r": "table",
    "p": "table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
    "i": "index",
    "I": "index",
    "S": "sequence",
}
_Change = tuple[Column, Column | None]
"""A column before and after, ``None`` for one that is new or gone."""
_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII)


def quoted(name: str) -> str:
    """Return a name as SQL writes it, if it is not a key word."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def _blocked(relation: Relation, mode: str) -> Blocks:
    """Return the statements that wait for a lock; only a refresh writes a materialized view."""
    blocks = blocked_by(mode)
    return "nothing" if relation.kind in "mv" and blocks == "writes" else blocks


class Effects:
    """The differences that one statement makes, restricted to relations that existed before."""

    def __init__(self, recorded: RecordedStatement, existing: Snapshot, production: frozenset[int]) -> None:
        """Compare the states around a statement.

        Args:
            recorded: the statement with the states.
            existing: the state before the migration.
            production: the oids of the relations that existed before the batch of migrations.
        """
        self.statement = recorded.statement
        self.recorded = recorded
        self.before, self.after = recorded.before, recorded.after
        self._existing = existing
        self.production = production

    def is_production(self, oid: int | None) -> bool:
        """Return True if a relation existed before the batch, or is an index of a table that did."""
        return oid in self.production

    def ancestors(self, oid: int | None) -> Iterator[int]:
        """Yield the partitioned table or index that a relation is a part of, then that of it, to the top."""
        while oid is not None:
            found = self.after.relations.get(oid) or self.before.relations.get(oid)
            oid = found.parent if found else None
            if oid is not None:
                yield oid

    def top(self, oid: int) -> int:
        """Return the topmost partitioned table or index that a relation is a part of, or the relation."""
        return [oid, *self.ancestors(oid)][-1]

    def among(self, tables: Iterable[int], table: int) -> bool:
        """Return True if a table or one of its partitions is among some tables."""
        return any(oid == table or table in self.ancestors(oid) for oid in tables)

    def is_partitioned(self, oid: int | None) -> bool:
        found = self.before.relations.get(oid or 0) or self.after.relations.get(oid or 0)
        return found is not None and found.kind == "p"

    def name(self, oid: int | None) -> str:
        """Return the name of a relation as it was before the statement; else after it."""
        found = self.before.relations.get(oid or 0) or self.after.relations.get(oid or 0)
        return found.name if found else str(oid)

    # -- For the trace

    @cached_property
    def locks(self) -> tuple[RelationLock, ...]:
        """The strongest new lock on each existing relation, tables first.

        A lock on an index is left out if its table is locked as strongly: it blocks nothing else.
        """
        strongest: dict[int, str] = {}
        for oid, mode in self.recorded.held:
            if oid in self._existing.relations and (
                oid not in strongest or MODES.index(mode) > MODES.index(strongest[oid])
            ):
                strongest[oid] = mode
        found = []
        for oid, mode in strongest.items():
            relation = self._existing.relations[oid]
            if relation.table is not None:
                of_table = self._strongest(relation.table)
                if mode != "access exclusive" or (of_table == mode):
                    continue
            lock = RelationLock(
                relation=self.name(oid),
                kind=_KINDS[relation.kind],
                mode=mode,
                blocks=_blocked(relation, mode),
                is_new=not self.is_production(oid),
            )
            found.append((relation.table is not None, relation.kind == "S", lock.relation, lock))
        return tuple(lock for *_, lock in sorted(found, key=lambda each: each[:3]))

    def _strongest(self, oid: int) -> str | None:
        modes = {mode for held, mode in self.recorded.held | self.after.locks if held == oid}
        return max(modes, key=MODES.index, default=None)

    @cached_property
    def rewrites(self) -> tuple[Rewrite, ...]:
        return tuple(
            Rewrite(
                relation=self.name(each.oid),
                kind=_KINDS[each.kind],
                table=self.name(each.table or each.oid),
                is_new=not self.is_production(each.oid),
            )
            for each in self.rewritten
        )

    @cached_property
    def scans(self) -> tuple[Scan, ...]:
        return tuple(
            Scan(table=self.name(oid), times=times, is_new=not self.is_production(oid))
            for oid, times in sorted(self.scanned.items(), key=lambda each: self.name(each[0]))
        )

    @cached_property
    def built_indexes(self) -> tuple[BuiltIndex, ...]:
        return tuple(
            BuiltIndex(
                index=each.name,
                table=self.name(each.table),
                method=each.method,
                is_new=not self.is_production(each.table),
            )
            for each in self.built
        )

    # -- For the hazards

    @cached_property
    def rewritten(self) -> tuple[Relation, ...]:
        """Existing relations whose file is another one now; ``truncate`` rewrites nothing."""
        if self.statement.words[:1] == ("truncate",):
            return ()
        found = [
            each
            for oid, each in self.before.relations.items()
            if oid in self._existing.relations
            and each.kind != "S"
            and (now := self.after.relations.get(oid)) is not None
            and each.file
            and now.file != each.file
        ]
        return tuple(sorted(found, key=lambda each: (each.table is not None, each.name)))

    @cached_property
    def rewritten_tables(self) -> frozenset[int]:
        """The production tables and materialized views among them."""
        return frozenset(
            each.oid for each in self.rewritten if each.kind in "rm" and self.is_production(each.oid)
        )

    @cached_property
    def scanned(self) -> dict[int, int]:
        """Existing tables that are read from first to last, with the number of scans.

        ``truncate`` reads none: its scans are those of the empty table.
        """
        return {} if self.statement.words[:1] == ("truncate",) else self.begun_scans

    @cached_property
    def begun_scans(self) -> dict[int, int]:
        """Existing tables with the number of scans that began, those of an emptied table included."""
        return {
            oid: now.scans - before
            for oid, now in self.after.relations.items()
            if oid in self._existing.relations
            and now.kind in "rmp"
            and now.scans > (before := self._scans_before(oid))
        }

    def _scans_before(self, oid: int) -> int:
        found = self.before.relations.get(oid)
        return found.scans if found else 0

    def scans_production(self, *tables: int) -> bool:
        """Return True if one of the tables or a partition of one is scanned.

        Without tables, return True if any table of production is.
        """
        scanned = [oid for oid in self.scanned if self.is_production(oid)]
        return any(self.among(scanned, table) for table in tables) if tables else bool(scanned)

    @cached_property
    def built(self) -> tuple[Relation, ...]:
        """New indexes on existing tables that are built, and not taken over from an older index."""
        files = {each.file for each in self.before.relations.values() if each.file}
        found = [
            each
            for oid, each in self.after.relations.items()
            if each.kind == "i"
            and oid not in self.before.relations
            and each.table in self._existing.relations
            and each.file not in files
        ]
        return tuple(sorted(found, key=lambda each: each.name))

    @cached_property
    def dropped_relations(self) -> tuple[Relation, ...]:
        return tuple(
            each
            for oid, each in self.before.relations.items()
            if oid not in self.after.relations and self.is_production(oid)
        )

    @cached_property
    def renamed_relations(self) -> tuple[tuple[Relation, Relation], ...]:
        """Production tables and views with another name or schema, before and after."""
        return tuple(
            (each, now)
            for oid, each in self.before.relations.items()
            if each.kind in "rpvmf"
            and self.is_production(oid)
            and (now := self.after.relations.get(oid)) is not None
            and now.name != each.name
        )

    def _columns(self) -> list[tuple[Column, Column | None]]:
        return [
            (each, self.after.columns.get(key))
            for key, each in self.before.columns.items()
            if self.is_production(each.table) and each.table in self.after.relations
        ]

    def _without_inherited(self, changes: Sequence[_Change]) -> Iterator[_Change]:
        """Yield the changes of columns, without those that a partition has from its partitioned table."""
        changed = {(old.table, old.name) for old, _ in changes}
        for old, new in changes:
            if not any((oid, old.name) in changed for oid in self.ancestors(old.table)):
                yield old, new

    @cached_property
    def dropped_columns(self) -> tuple[Column, ...]:
        """Dropped columns of production tables, of a partitioned table once."""
        dropped = self._without_inherited([(each, None) for each, now in self._columns() if now is None])
        return tuple(each for each, _ in dropped)

    @cached_property
    def changed_columns(self) -> tuple[tuple[Column, Column], ...]:
        """Columns of production tables that differ, before and after; of a partitioned table once."""
        changed = [(each, now) for each, now in self._columns() if now is not None and now != each]
        return tuple((each, now) for each, now in self._without_inherited(changed) if now is not None)

    @cached_property
    def added_columns(self) -> tuple[Column, ...]:
        """New columns of production tables, of a partitioned table once."""
        added = [
            (each, None)
            for key, each in self.after.columns.items()
            if key not in self.before.columns and self.is_production(each.table)
        ]
        return tuple(each for each, _ in self._without_inherited(added))

    @cached_property
    def added_constraints(self) -> tuple[Constraint, ...]:
        """New constraints, of a partitioned table once."""
        added = [each for oid, each in self.after.constraints.items() if oid not in self.before.constraints]
        oids = {each.oid for each in added}
        names = {(each.table, each.name) for each in added}
        return tuple(
            each
            for each in added
            if each.parent not in oids
            and not any((oid, each.name) in names for oid in self.ancestors(each.table or None))
        )

    @cached_property
    def blocking_tables(self) -> dict[int, Blocks]:
        """The production tables with a new lock that blocks writes, or reads and writes.

        A lock on an index counts for its table: no query of the table is planned while it is held.
        """
        found: dict[int, Blocks] = {}
        for oid, mode in self.recorded.held:
            relation = self._existing.relations.get(oid)
            if relation is None or relation.kind == "S" or not self.is_production(oid):
                continue
            table = relation.table or oid
            if relation.table is not None and mode != "access exclusive":
                continue
            blocks = _blocked(relation, mode)
            if blocks == "nothing":
                continue
            if found.get(table) != "reads and writes":
                found[table] = blocks
        return found

    def blocks(self, table: int) -> Blocks:
        """Return the statements that wait for the locks that the session holds on a table now."""
        strongest = self._strongest(table)
        return "nothing" if strongest is None else blocked_by(strongest)
