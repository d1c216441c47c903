"""The rules that find hazards in the effects of statements.

A rule reads what a statement did: its locks, rewrites, scans, and the changes of the catalog. It reads words
of the statement only to name a kind that leaves the same trace as another, such as ``cluster`` and
``vacuum full``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from plainsql.migrate.script import Statement
from plainsql.migrate.trace.catalog_changes import Effects
from plainsql.migrate.trace.hazards import SIZED
from plainsql.migrate.trace.snapshot import Constraint, Relation, Snapshot

__all__ = ["Found", "hazards_of"]

_OUTSIDE: Final = "in a file of its own that starts with '-- transactional: false'"
_TABLES: Final = "rp"


class Found(NamedTuple):
    """A hazard of one statement."""

    name: str
    message: str
    hint: str
    tables: tuple[str, ...] = ()
    old_names: tuple[str, ...] = ()
    """The names that are gone after a rename or a drop: the column's or the table's, without its schema."""
    read_name: str = ""
    """The column that the code in production may read with another expectation."""


def hazards_of(effects: Effects, final: Snapshot) -> list[Found]:
    """Return the hazards of a statement.

    Args:
        effects: its effects.
        final: the state after the whole migration. A name that exists there again is not gone.
    """
    if not effects.recorded.was_run:
        words = " ".join(effects.statement.words[:2])
        return [
            Found(
                "server-statement",
                f"{words} changes the whole server, and was not run on the scratch database",
                "run it by hand, or in the set-up of the server",
            )
        ]
    found = [hazard for rule in _RULES for hazard in rule(effects)]
    found += _gone(effects, final)
    if not any(each.tables and each.name in _REWRITES for each in found):
        found += _other_rewrites(effects)
    if not any(each.name in _CLAIMS for each in found) and (other := _other_work(effects)) is not None:
        found = [each for each in found if each.name != "whole-table-write"]
        found.append(other)
    return found


# -- Columns


def _columns(effects: Effects) -> Iterator[Found]:
    for column in effects.added_columns:
        table, name = effects.name(column.table), column.sql_name
        rewritten = effects.among(effects.rewritten_tables, column.table)
        if column.generated == "s" and rewritten:
            yield Found(
                "add-column-generated",
                f"rewrites {table} to compute the new column {name} while reads and writes wait",
                "add a plain column, fill it by a trigger and in batches; or make it virtual (PostgreSQL 18)",
                (table,),
            )
        elif column.is_identity and rewritten:
            yield Found(
                "add-column-identity",
                f"rewrites {table} to number its rows in the new column {name} while reads and writes wait",
                "add a plain column, set its default to the next value of a sequence, number rows in batches",
                (table,),
            )
        elif column.checked_domain is not None and rewritten:
            yield Found(
                "add-column-domain",
                f"rewrites {table} to check the domain {column.domain} of the new column {name} "
                "while reads and writes wait",
                f"add {name} as {column.checked_domain}, with the check of the domain not valid; "
                "validate it in a later migration",
                (table,),
            )
        elif column.has_default and rewritten:
            yield Found(
                "add-column-volatile-default",
                f"rewrites {table} for the default of the new column {name} while reads and writes wait",
                f"add {name} without a default, then set the default, then fill the rows in batches",
                (table,),
            )
        elif column.not_null and not column.has_default and not column.generated and not column.is_identity:
            yield Found(
                "add-column-required",
                f"adds {name}, which is not null and has no default: it fails if {table} has rows",
                f"give {name} a constant default; or add it nullable, fill it, then set it not null",
                (table,),
            )


def _not_null(effects: Effects) -> Iterator[Found]:
    for old, new in effects.changed_columns:
        if new.not_null and not old.not_null and effects.scans_production(new.table):
            table, name = effects.name(new.table), new.sql_name
            yield Found(
                "set-not-null",
                f"reads all rows of {table} for the not null of {name} while reads and writes wait",
                f"add a check ({name} is not null) not valid, validate it in a later migration, "
                "then set not null, which reads no row",
                (table,),
            )


def _types(effects: Effects) -> Iterator[Found]:
    for old, new in effects.changed_columns:
        if (old.type, old.collation) == (new.type, new.collation):
            continue
        table, name = effects.name(new.table), new.sql_name
        indexes = [each.name for each in effects.built if effects.among([each.table or 0], new.table)]
        if effects.among(effects.rewritten_tables, new.table):
            does = f"rewrites {table} and its indexes"
        elif indexes:
            does = f"builds {', '.join(sorted(indexes))} again"
        elif effects.scans_production(new.table):
            does = f"reads all rows of {table}"
        else:
            continue
        then = new.type + (f" collate {new.collation}" if new.collation else "")
        what = "type" if old.type != new.type else "collation"
        now = old.type + (f" collate {old.collation}" if old.collation else "")
        yield Found(
            "alter-type-rewrite",
            f"{does} for the {what} of {name}, {now} to {then}, while reads and writes wait",
            f"add a new column of type {then}, write both, fill it in batches, then use it instead",
            (table,),
        )


# -- Constraints and indexes


def _constraints(effects: Effects) -> Iterator[Found]:
    built = {each.oid for each in effects.built}
    for constraint in effects.added_constraints:
        name = constraint.sql_name
        if constraint.domain is not None:
            yield from _domain_constraint(effects, constraint, constraint.domain)
            continue
        if not effects.is_production(constraint.table):
            continue
        table = effects.name(constraint.table)
        is_built = effects.among(built, constraint.index)
        if constraint.kind in "pu" and is_built:
            kind = "primary key" if constraint.kind == "p" else "unique"
            way = f"create unique index concurrently, {_OUTSIDE}; then: alter table {table} "
            way += f"add constraint {name} {kind} using index …"
            if effects.is_partitioned(constraint.table):
                index = effects.name(constraint.index)
                way = (
                    f"alter table only {table} add constraint {name} {kind} (…), add it to each partition "
                    f"using an index made concurrently, then: alter index {index} attach partition …"
                )
            yield Found(
                "add-unique-constraint",
                f"builds the index of {name} while reads and writes of {table} wait",
                way,
                (table,),
            )
        elif constraint.kind == "x" and is_built:
            yield Found(
                "add-exclusion-constraint",
                f"builds the index of {name} while reads and writes of {table} wait",
                "PostgreSQL has no other way: add it to a new table, and move the rows in batches",
                (table,),
            )
        elif constraint.kind in "cf" and constraint.is_valid and effects.scans_production(constraint.table):
            waits = effects.blocks(constraint.table)
            since = ""
            if constraint.kind == "f" and effects.is_partitioned(constraint.table):
                since = " (PostgreSQL 18; earlier to each partition first)"
            yield Found(
                "validate-at-once",
                f"reads all rows of {table} for {name} while {waits} wait",
                f"add {name} not valid{since}, then: alter table {table} validate constraint {name}, "
                "in a later migration",
                (table,),
            )


def _domain_constraint(effects: Effects, constraint: Constraint, domain: str) -> Iterator[Found]:
    tables = tuple(effects.name(oid) for oid in effects.scanned if effects.is_production(oid))
    if not (constraint.is_valid and tables):
        return
    read = f"reads all rows of {', '.join(tables)}"
    if constraint.kind == "n":
        yield Found(
            "validate-at-once",
            f"{read} for the not null of the domain {domain} while writes wait",
            f"alter domain {domain} add check (value is not null) not valid, and validate it "
            "in a later migration",
            tables,
        )
        return
    name = constraint.sql_name
    yield Found(
        "validate-at-once",
        f"{read} for {name} of the domain {domain} while writes wait",
        f"add {name} not valid, then: alter domain {domain} validate constraint {name}, in a later migration",
        tables,
    )


def _indexes(effects: Effects) -> Iterator[Found]:
    of_constraints = {each.index for each in effects.after.constraints.values() if each.index}
    if "index" in effects.statement.words[:3]:
        tops = {effects.top(each.oid) for each in effects.built}
        of_new = {oid for oid in tops if oid not in effects.before.relations}
        parts = [each.oid for each in effects.built if effects.top(each.oid) not in of_new]
        for oid in sorted(of_new.union(parts), key=lambda each: effects.after.relations[each].name):
            index = effects.after.relations[oid]
            blocks = effects.blocks(index.table or 0)
            if (
                index.oid not in of_constraints
                and effects.is_production(index.table)
                and effects.after.relations[index.table or 0].kind != "m"
                and effects.recorded.held
                and blocks != "nothing"
                and "concurrently" not in effects.statement.words
            ):
                table = effects.name(index.table)
                way = f"write create index concurrently, {_OUTSIDE}"
                if index.kind == "I":
                    way = (
                        f"create index on only {table}, create one on each partition concurrently, "
                        f"then: alter index {index.name} attach partition …"
                    )
                yield Found(
                    "create-index",
                    f"builds {index.name} while {blocks} of {table} wait",
                    way,
                    (table,),
                )
    dropped_tables = {each.oid for each in effects.dropped_relations if each.kind in "rpm"}
    constraints = {each.index for each in effects.before.constraints.values() if each.index}
    dropped = {each.oid for each in effects.dropped_relations}
    for index in effects.dropped_relations:
        if (
            index.kind in "iI"
            and not dropped.intersection(effects.ancestors(index.oid))
            and effects.statement.words[:2] == ("drop", "index")
            and "concurrently" not in effects.statement.words
            and index.table not in dropped_tables
            and index.oid not in constraints
        ):
            table = effects.name(index.table)
            yield Found(
                "drop-index",
                f"drops {index.name} while reads and writes of {table} wait",
                "PostgreSQL has no other way for a partitioned table: drop it in a quiet hour, "
                "and allow this with that reason"
                if index.kind == "I"
                else f"write drop index concurrently, {_OUTSIDE}",
                (table,),
            )


# -- Whole tables


def _maintenance(effects: Effects) -> Iterator[Found]:
    words = effects.statement.words
    first = words[:1]
    tables = tuple(sorted(effects.name(oid) for oid in effects.rewritten_tables))
    if first == ("vacuum",) and tables:
        yield Found(
            "vacuum-full",
            f"rewrites {', '.join(tables)} while reads and writes wait",
            "write vacuum without full; to give back much space, use pg_repack outside of migrations",
            tables,
        )
    elif first == ("cluster",) and tables:
        yield Found(
            "cluster",
            f"rewrites {', '.join(tables)} in the order of an index while reads and writes wait",
            "leave the order of the rows as it is; or use pg_repack outside of migrations",
            tables,
        )
    elif first == ("refresh",) and tables:
        yield Found(
            "refresh-view",
            f"computes {', '.join(tables)} again while its readers wait",
            "write refresh materialized view concurrently, which needs a unique index on the view",
            tables,
        )
    elif first == ("reindex",) and "concurrently" not in words:
        again = sorted({effects.name(each.table) for each in effects.rewritten if each.table})
        if again:
            yield Found(
                "reindex",
                f"builds indexes of {', '.join(again)} again while reads and writes wait",
                f"write reindex … concurrently, {_OUTSIDE}",
                tuple(again),
            )
    elif first == ("truncate",):
        emptied = sorted(
            each.name
            for oid, each in effects.before.relations.items()
            if each.kind == "r"
            and effects.is_production(oid)
            and (now := effects.after.relations.get(oid)) is not None
            # A table that the transaction has rewritten is emptied in place, and its indexes are built.
            and (now.file != each.file or oid in effects.begun_scans)
        )
        if emptied:
            yield Found(
                "truncate",
                f"empties {', '.join(emptied)} while reads and writes wait",
                "delete the rows in batches, if the code in production still uses the table",
                tuple(emptied),
            )


def _partitions(effects: Effects) -> Iterator[Found]:
    words = effects.statement.words
    for oid, now in effects.after.relations.items():
        old = effects.before.relations.get(oid)
        if now.kind not in _TABLES or now.is_partition is (old is not None and old.is_partition):
            continue
        if old is None:
            blocked = [
                effects.name(table)
                for table, blocks in effects.blocking_tables.items()
                if blocks == "reads and writes"
            ]
            if blocked:
                yield Found(
                    "create-partition",
                    f"creates {now.name} while reads and writes of {', '.join(sorted(blocked))} wait",
                    "create it with like, as a table of its own, then attach it",
                    tuple(sorted(blocked)),
                )
        elif now.is_partition:
            built = sorted(each.name for each in effects.built if effects.is_production(each.table))
            read = sorted(effects.name(table) for table in effects.scanned if effects.is_production(table))
            if built:
                yield Found(
                    "attach-partition",
                    f"builds {', '.join(built)} to attach {now.name}, while reads and writes of it wait",
                    "create the indexes of the partitioned table on it before, concurrently",
                    (now.name,),
                )
            elif read:
                yield Found(
                    "attach-partition",
                    f"reads all rows of {', '.join(read)} to attach {now.name}, while reads and writes wait",
                    f"add a check of the partition's bounds to {', '.join(read)} first, "
                    "not valid, and validate it",
                    tuple(read),
                )
        elif "concurrently" not in words and effects.is_production(oid):
            yield Found(
                "detach-partition",
                f"detaches {now.name} while reads and writes of the whole table wait",
                f"write detach partition … concurrently, {_OUTSIDE}",
                (now.name,),
            )


_WRITES: Final = frozenset({"update", "delete", "merge"})
_WRITES_OF_BODY: Final = re.compile(r"\b(?:update|delete|merge|execute|call)\b", re.IGNORECASE)
_TARGET: Final = re.compile(
    r"""insert\s+into\s+(?:(?:"(?:[^"]|"")+"|\w+)\s*\.\s*)?("(?:[^"]|"")+"|\w+)""", re.IGNORECASE
)


def _may_write(statement: Statement) -> bool:
    """Return True if a statement may update or delete rows of a table that is locked already.

    Its own locks do not show that, unlike those of a table that it locks first.
    """
    if statement.words[:1] == ("do",):
        return _WRITES_OF_BODY.search(statement.text) is not None
    words = ("", *statement.words)
    return statement.words[:1] == ("call",) or any(
        word in _WRITES and before not in ("for", "key") for before, word in pairwise(words)
    )


def _writes(effects: Effects) -> Iterator[Found]:
    statement = effects.statement
    if statement.words[:1] == ("alter",):
        return
    written = {oid for oid, mode in effects.recorded.held if mode == "row exclusive"}
    if _may_write(statement):
        written |= {oid for oid, mode in effects.after.locks if mode == "row exclusive"}
    elif (target := _TARGET.match(statement.text)) is not None:
        # It adds rows to a table that it reads.
        name = _last(target[1]) if target[1].startswith('"') else target[1].lower()
        written = {oid for oid in written if _last(effects.name(oid)) != name}
    tables = tuple(
        sorted(
            effects.name(oid)
            for oid in effects.scanned
            # Only a refresh writes a materialized view.
            if oid in written and effects.is_production(oid) and effects.after.relations[oid].kind != "m"
        )
    )
    if tables:
        yield Found(
            "whole-table-write",
            f"writes the rows of {', '.join(tables)} in one transaction, which keeps them locked",
            "write them in batches by the primary key, each in a transaction of its own",
            tables,
        )


# -- What the code in production uses


def _gone(effects: Effects, final: Snapshot) -> Iterator[Found]:
    names = final.names
    for old, new in effects.renamed_relations:
        if old.name not in names:
            yield Found(
                "rename-table",
                f"renames {old.name} to {new.name}: the code in production uses the old name",
                f"create a view {old.name} over it in the same migration, and drop it when no code uses it",
                (old.name,),
                (_last(old.name),),
            )
    for column, now in effects.changed_columns:
        table = effects.name(column.table)
        if column.name != now.name and column.name not in final.columns_of(table):
            yield Found(
                "rename-column",
                f"renames {column.sql_name} of {table}: the code in production uses the old name",
                "add a new column, write both, fill it in batches; drop the old one when no code uses it",
                (table,),
                (column.name,),
            )
        if column.not_null and not now.not_null:
            yield Found(
                "drop-not-null",
                f"allows null in {now.sql_name} of {table}, which the code in production does not expect",
                "deploy code that expects null first, then allow this with that reason",
                (table,),
                read_name=column.name,
            )
    for column in effects.dropped_columns:
        table = effects.name(column.table)
        if column.name not in final.columns_of(table):
            yield Found(
                "drop-column",
                f"drops {column.sql_name} of {table}, which the code in production may use",
                "deploy code that does not use it first, then allow this with that reason",
                (table,),
                (column.name,),
            )
    for relation in effects.dropped_relations:
        if relation.kind in "rpvmf":
            yield from _dropped(effects, final, relation)


def _dropped(effects: Effects, final: Snapshot, relation: Relation) -> Iterator[Found]:
    if relation.name not in final.names:
        yield Found(
            "drop-table",
            f"drops {relation.name}, which the code in production may use",
            "deploy code that does not use it first, then allow this with that reason",
            (relation.name,),
            (_last(relation.name),),
        )
        return
    kept = final.columns_of(relation.name)
    for column in effects.before.columns.values():
        if column.table == relation.oid and column.name not in kept:
            yield Found(
                "drop-column",
                f"drops {relation.name}, and its replacement has no column {column.sql_name}",
                "deploy code that does not use it first, then allow this with that reason",
                (relation.name,),
                (column.name,),
            )


def _last(name: str) -> str:
    """Return a relation's name without its schema and quotes."""
    end = name.rpartition('."')[2][:-1] if name.endswith('"') else name.rpartition(".")[2]
    return end.replace('""', '"')


def _other_rewrites(effects: Effects) -> Iterator[Found]:
    tables = tuple(sorted(effects.name(oid) for oid in effects.rewritten_tables))
    if tables:
        yield Found(
            "table-rewrite",
            f"rewrites {', '.join(tables)} while reads and writes wait",
            "create a new table of that kind, copy the rows in batches, then rename both",
            tables,
        )


def _other_work(effects: Effects) -> Found | None:
    """Return the hazard of work on a table of production while the statement blocks one."""
    built = {each.name: each.table for each in effects.built if effects.is_production(each.table)}
    built |= {
        each.name: each.table
        for each in effects.rewritten
        if each.table is not None and effects.is_production(each.table)
    }
    read = [oid for oid in effects.scanned if effects.is_production(oid) and oid not in built.values()]
    blocking = effects.blocking_tables
    # A concurrent statement releases its first locks before it works, as that of `reindex` on partitions.
    if not blocking or not (built or read) or "concurrently" in effects.statement.words:
        return None
    does = [f"builds {', '.join(sorted(built))}"] if built else []
    does += [f"reads all rows of {', '.join(sorted(map(effects.name, read)))}"] if read else []
    blocked = "reads and writes" if "reads and writes" in blocking.values() else "writes"
    return Found(
        "work-under-lock",
        f"{' and '.join(does)} while {blocked} of {', '.join(sorted(map(effects.name, blocking)))} wait",
        "split it into migrations: one that locks without work, one that works without such a lock",
        tuple(sorted({effects.name(oid) for oid in (*built.values(), *read)})),
    )


# They describe the work of their statement. A column that is required reads the rows only to fail.
_CLAIMS: Final = (SIZED - {"whole-table-write"}) | {"truncate", "add-column-required"}
_REWRITES: Final = frozenset(
    {
        "add-column-domain",
        "add-column-generated",
        "add-column-identity",
        "add-column-volatile-default",
        "alter-type-rewrite",
        "cluster",
        "refresh-view",
        "vacuum-full",
    }
)
_RULES: Final[tuple[Callable[[Effects], Iterator[Found]], ...]] = (
    _columns,
    _not_null,
    _types,
    _constraints,
    _indexes,
    _maintenance,
    _partitions,
    _writes,
)
