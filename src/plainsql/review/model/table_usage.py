"""The uses of tables by queries: readers and writers of each column, users of each index, the matrix."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from plainsql.review.model.sheets import (
    Access,
    ColumnUsers,
    IndexSheet,
    MigrationSheet,
    QuerySheet,
    TableSheet,
)

__all__ = ["ACTION_LETTERS", "with_users"]

ACTION_LETTERS: Final = {
    "read": "R",
    "insert": "I",
    "update": "U",
    "delete": "D",
    "truncate": "T",
    "cascade": "C",
}
"""The letters of the matrix, in their order."""
_WORD: Final = re.compile(r"\w+")
_EQUAL: Final = re.compile(r'\(*"?(\w+)"? = ')
_ORDERED: Final = frozenset({"btree", "hash"})


def with_users(
    tables: Iterable[TableSheet],
    queries: Sequence[QuerySheet],
    migrations: Sequence[MigrationSheet],
    planned: Mapping[str, Collection[str]] | None = None,
) -> tuple[TableSheet, ...]:
    """Return the tables with the queries and migrations that use them.

    ``planned`` has the names of the indexes in the plans of each query; ``None`` if no plans are known.
    """
    tables = tuple(tables)
    relatives = _relatives(tables)
    accesses: dict[str, list[tuple[str, Access]]] = defaultdict(list)
    proofs: dict[tuple[str, str], list[str]] = defaultdict(list)
    for query in queries:
        for access in query.accesses:
            for table_name in relatives.get(access.table, (access.table,)):
                accesses[table_name].append((query.name, access))
            for via in access.via:
                if via.startswith("view "):
                    accesses[via.removeprefix("view ")].append((query.name, access))
        if query.proof:
            proofs[query.proof_table, query.proof].append(query.name)
    return tuple(
        replace(
            table,
            columns=tuple(
                replace(column, users=_column_users(column.name, accesses[table.name]))
                for column in table.columns
            ),
            indexes=tuple(
                replace(
                    index,
                    proves=tuple(proofs[table.name, index.name]),
                    serves=_served(index, table, accesses[table.name]),
                    supports=_supported(index, table),
                    plans=_planned(index, accesses[table.name], planned),
                )
                for index in table.indexes
            ),
            queries=_letters(accesses[table.name]),
            hidden_writers=tuple(
                sorted(
                    {
                        via
                        for _, access in accesses[table.name]
                        if access.action == "cascade" and not access.columns
                        for via in access.via
                        if not via.startswith("foreign key ")
                    }
                )
            ),
            migrations=tuple(each.name for each in migrations if table.name in each.tables),
        )
        for table in tables
    )


def _relatives(tables: Iterable[TableSheet]) -> dict[str, list[str]]:
    """Return each table with the partitioned tables above it and all partitions below it."""
    parents = {table.name: table.parent for table in tables}
    found: dict[str, list[str]] = {name: [name] for name in parents}
    for name, parent in parents.items():
        above = parent
        while above in parents:
            found[name].append(above)
            found[above].append(name)
            above = parents[above]
    return found


def _column_users(column: str, accesses: Iterable[tuple[str, Access]]) -> ColumnUsers:
    reads: dict[str, None] = {}
    writes: dict[str, None] = {}
    for query, access in accesses:
        used = column in access.columns or access.whole_rows
        if access.action == "read" and used:
            reads[query] = None
        elif (access.action in ("insert", "update") and used) or (
            # A cascade names the columns that it sets; without them it deletes, or a function runs.
            access.action == "cascade" and column in access.columns
        ):
            writes[query] = None
    return ColumnUsers(tuple(reads), tuple(writes))


def _served(index: IndexSheet, table: TableSheet, accesses: Iterable[tuple[str, Access]]) -> tuple[str, ...]:
    """Return the queries that compare the first column of an index with a value.

    Row-level security compares the columns of its policies for every query. An index that is not ordered
    serves by its operators, which the accesses do not have: each query that reads its columns counts.
    """
    found: dict[str, None] = {}
    if index.method in _ORDERED:
        of_policies = _policy_columns(table)
        first = next((column for column in index.columns if column not in of_policies), "")
        for query, access in accesses:
            if access.action != "insert" and first and first in access.compared:
                found[query] = None
    else:
        words = {word for column in index.columns for word in _WORD.findall(column)}
        words &= {column.name for column in table.columns}
        for query, access in accesses:
            if access.action == "read" and words & set(access.columns):
                found[query] = None
    return tuple(found)


def _planned(
    index: IndexSheet,
    accesses: Iterable[tuple[str, Access]],
    planned: Mapping[str, Collection[str]] | None,
) -> tuple[str, ...] | None:
    """Return the queries that use the table, and whose plans have the index or one of its partitions."""
    if planned is None:
        return None
    names = {index.name, *index.partitions}
    return tuple(
        dict.fromkeys(query for query, _ in accesses if not names.isdisjoint(planned.get(query, ())))
    )


def _policy_columns(table: TableSheet) -> frozenset[str]:
    if not table.row_security:
        return frozenset()
    matches = (_EQUAL.match(policy.using) for policy in table.policies)
    return frozenset(match[1] for match in matches if match)


def _supported(index: IndexSheet, table: TableSheet) -> tuple[str, ...]:
    """Return the constraints that an index enforces or whose checks it makes fast."""
    return tuple(
        constraint.name
        for constraint in table.constraints
        if constraint.name == index.name
        or (
            constraint.kind == "foreign key"
            and set(index.columns[: len(constraint.columns)]) == set(constraint.columns)
        )
    )


def _letters(accesses: Iterable[tuple[str, Access]]) -> tuple[tuple[str, str], ...]:
    actions: dict[str, set[str]] = defaultdict(set)
    for query, access in accesses:
        actions[query].add(access.action)
    return tuple(
        (query, "".join(letter for action, letter in ACTION_LETTERS.items() if action in found))
        for query, found in sorted(actions.items())
    )
