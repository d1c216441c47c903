"""The heights of B-trees, as the planner of production shows them in its costs.

No right beyond reading the table is needed, and no page is read. The planner adds 50 operators for each level
that a scan descends, and one for each halving of the rows: fewer than 50. If an operator costs 1 and the rest
nothing before the first row, the height is a division.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import psycopg

from plainsql.plans.statistics.production_session import with_settings

__all__ = ["Tree", "read_heights"]

_LEVEL_COST: Final = 50
"""``DEFAULT_PAGE_CPU_MULTIPLIER`` in selfuncs.c: operators a level, the same in PostgreSQL 14 to 18."""
_BATCH: Final = 50
"""Statements in one round trip; their locks on tables are held together."""
_INDEX_SCANS: Final = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "enable_incremental_sort": "off",
    "enable_indexscan": "on",
    "enable_indexonlyscan": "on",
    "max_parallel_workers_per_gather": "0",
    "constraint_exclusion": "off",
    "jit": "off",
    "seq_page_cost": "0",
    "cpu_tuple_cost": "0",
    "cpu_index_tuple_cost": "0",
    "cpu_operator_cost": "1",
}


class Tree(NamedTuple):
    """A B-tree, and a query in its order."""

    oid: int
    name: str
    pages: int
    query: str
    """A query in the order of all keys, under the index's condition."""
    keys: str
    """The order alone: two indexes may have the same."""
    table: int


def read_heights(connection: psycopg.Connection[Any], trees: Sequence[Tree]) -> dict[int, int]:
    """Return the height of each tree by its oid. One that the planner does not use is left out."""
    heights = {tree.oid: 0 for tree in trees if tree.pages <= 2}  # a metapage, and a root that is a leaf
    # Without a cost of pages any index with the order is as good as another; with one, the smallest is best.
    for page_cost in ("0", "1000"):
        left = [tree for tree in trees if tree.oid not in heights]
        if left:
            with with_settings(connection, {**_INDEX_SCANS, "random_page_cost": page_cost}):
                heights.update(_explained(connection, left))
    for tree in trees:
        twins = [each for each in trees if (each.table, each.keys) == (tree.table, tree.keys)]
        known = [heights[each.oid] for each in twins if each.oid in heights and each.pages == tree.pages]
        if tree.oid not in heights and known:
            heights[tree.oid] = known[0]
    return heights


def _explained(connection: psycopg.Connection[Any], trees: Sequence[Tree]) -> dict[int, int]:
    heights: dict[int, int] = {}
    for start in range(0, len(trees), _BATCH):
        batch = trees[start : start + _BATCH]
        with connection.pipeline():
            cursors = [connection.execute(f"explain (format json) {tree.query}".encode()) for tree in batch]
        for tree, cursor in zip(batch, cursors, strict=True):
            row = cursor.fetchone()
            plan = row[0][0]["Plan"] if row else {}
            if plan.get("Index Name") == tree.name:
                heights[tree.oid] = max(0, int(plan["Startup Cost"] // _LEVEL_COST) - 1)
    return heights
