"""The checksum of a page, as PostgreSQL computes it: without the right one, no statement reads the table."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

__all__ = ["PAGE_BYTES", "sealed"]

PAGE_BYTES: Final = 8192
"""The size of a page in every build of the embedded server."""

_PRIME: Final = 16777619
_MASK: Final = 0xFFFFFFFF
_CHECKSUM_OFFSET: Final = 8
# The start values of the 32 sums that run over the page: those of src/include/storage/checksum_impl.h.
_START: Final = (
    *(0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C),
    *(0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB),
    *(0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4),
    *(0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756),
)


def sealed(page: bytes, block: int) -> bytes:
    """Return the page with its checksum; ``block`` is its number in the relation, across all segments."""
    blank = page[:_CHECKSUM_OFFSET] + b"\0\0" + page[_CHECKSUM_OFFSET + 2 :]
    checksum = (_sum(blank) ^ block) % 65535 + 1
    return blank[:_CHECKSUM_OFFSET] + struct.pack("<H", checksum) + blank[_CHECKSUM_OFFSET + 2 :]


@lru_cache(maxsize=256)  # most of the pages that are written are equal, and a sum takes half a millisecond
def _sum(page: bytes) -> int:
    words = struct.unpack(f"<{PAGE_BYTES // 4}I", page)
    result = 0
    for lane, start in enumerate(_START):
        value = start
        for word in (*words[lane :: len(_START)], 0, 0):
            mixed = value ^ word
            value = ((mixed * _PRIME) & _MASK) ^ (mixed >> 17)
        result ^= value
    return result
