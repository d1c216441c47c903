"""Sizes for what production does not have, or what no statistics say: from the widths of types."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from plainsql.plans.copy.catalog_of_copy import CopiedIndex, CopiedTable
from plainsql.plans.copy.page_checksum import PAGE_BYTES

__all__ = ["ASSUMED_ROWS", "PARTIAL_SHARE", "AssumedIndex", "index_size", "table_pages", "tree_height"]

ASSUMED_ROWS: Final = 1_000_000
"""The rows of a table without statistics."""
PARTIAL_SHARE: Final = 0.5
"""The share of the rows in a partial index on a table without statistics."""

_PAGE_HEADER: Final = 24
_BTREE_SPECIAL: Final = 16
_ITEM: Final = 4
_ROW_HEADER: Final = 24
_ENTRY_HEADER: Final = 8
_GRAPH_ENTRY: Final = 250
"""The bytes of an HNSW graph's element and its neighbours, without the vector: m = 16."""


@dataclass(frozen=True, slots=True)
class AssumedIndex:
    """The assumed size of an index."""

    rows: float
    pages: int
    height: int | None
    """None if it is no B-tree."""


def table_pages(table: CopiedTable, rows: float) -> int:
    """Return the pages that a table's rows take."""
    row = _aligned(_ROW_HEADER + table.width) + _ITEM
    return _pages(rows, row, (PAGE_BYTES - _PAGE_HEADER) * table.fill / 100)


def index_size(index: CopiedIndex, rows: float, all_pages: int) -> AssumedIndex:
    """Return the size of an index with this many rows, on a table of ``all_pages``."""
    entry = _aligned(_ENTRY_HEADER + index.width) + _ITEM
    room = (PAGE_BYTES - _PAGE_HEADER - _BTREE_SPECIAL) * index.fill / 100
    if index.method == "btree":
        leaves = _pages(rows, entry, room)
        return AssumedIndex(rows, *_tree(leaves, entry))
    if index.method == "brin":
        return AssumedIndex(rows, 3 + all_pages // 128 // 200, None)
    if index.method == "hnsw":
        entry += _GRAPH_ENTRY
    if index.method == "hash":
        entry = 20
    return AssumedIndex(rows, 1 + _pages(rows, entry, room), None)


def tree_height(pages: int, entry: int = 24) -> int:
    """Return the height of a B-tree of this many pages: it is guessed from the bytes of an entry."""
    return _tree(max(1, pages - 1), entry)[1]


def _tree(leaves: int, entry: int) -> tuple[int, int]:
    """Return the pages of a B-tree with so many leaves, its metapage included, and its height."""
    fan_out = max(2, int((PAGE_BYTES - _PAGE_HEADER - _BTREE_SPECIAL) * 0.7 / entry))
    pages, level, height = 1 + leaves, leaves, 0
    while level > 1:
        level = math.ceil(level / fan_out)
        pages += level
        height += 1
    return pages, height


def _pages(rows: float, bytes_each: int, room: float) -> int:
    return max(1, math.ceil(rows / max(1, int(room / bytes_each))))


def _aligned(size: int) -> int:
    return -(-size // 8) * 8
