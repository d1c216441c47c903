"""The estimate of how long a statement works, from the sizes of its tables in production.

The rates are those of a small cloud server whose tables are partly in memory. They are good for a class,
instant or minutes, and not for a number of seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from plainsql.migrate.trace.model import BuiltIndex, Rewrite, Scan, TableSize, TimeClass

__all__ = ["READ_BYTES_PER_S", "REWRITE_BYTES_PER_S", "estimate_seconds", "time_class_of"]

READ_BYTES_PER_S: Final = 200_000_000
"""Bytes of rows that a scan reads in a second."""
REWRITE_BYTES_PER_S: Final = 40_000_000
"""Bytes of rows and indexes that are written again in a second, with their write-ahead log."""
_INDEXED_BYTES_PER_S: Final = {"gin": 10_000_000, "gist": 10_000_000, "spgist": 10_000_000}
"""Bytes of rows for which an index of a method is built in a second; of the others, the next number."""
_OTHER_INDEXED_BYTES_PER_S: Final = 50_000_000
_INDEXED_ROWS_PER_S: Final = {"hnsw": 1_000, "ivfflat": 10_000}
"""Rows for which an index of vectors is built in a second: the vectors are not in the bytes of the rows."""
_MAX_INSTANT_S: Final = 1.0
_MAX_SECONDS_S: Final = 60.0


def estimate_seconds(
    scans: tuple[Scan, ...],
    rewrites: tuple[Rewrite, ...],
    built: tuple[BuiltIndex, ...],
    sizes: Mapping[str, TableSize] | None,
) -> float | None:
    """Return the seconds that the work takes; ``None`` if a size is needed and not known.

    Work on tables that production does not have yet takes no time.
    """
    work = [each.table for each in scans if not each.is_new]
    work += [each.table for each in rewrites if not each.is_new]
    work += [each.table for each in built if not each.is_new]
    if not work:
        return 0.0
    if sizes is None or any(table not in sizes for table in work):
        return None
    rewritten = {each.table for each in rewrites if not each.is_new and each.kind != "index"}
    seconds = 0.0
    for table in rewritten:
        seconds += (sizes[table].bytes + sizes[table].index_bytes) / REWRITE_BYTES_PER_S
    indexes = [(each.table, each.method) for each in built if not each.is_new]
    indexes += [(each.table, "") for each in rewrites if not each.is_new and each.kind == "index"]
    for table, method in indexes:
        if table not in rewritten:
            by_bytes = sizes[table].bytes / _INDEXED_BYTES_PER_S.get(method, _OTHER_INDEXED_BYTES_PER_S)
            rows_per_s = _INDEXED_ROWS_PER_S.get(method)
            seconds += max(by_bytes, sizes[table].rows / rows_per_s if rows_per_s else 0.0)
    indexed = {table for table, _ in indexes}
    for scan in scans:
        if not scan.is_new and scan.table not in rewritten and scan.table not in indexed:
            seconds += sizes[scan.table].bytes * scan.times / READ_BYTES_PER_S
    return seconds


def time_class_of(seconds: float | None) -> TimeClass:
    """Return the class of a duration."""
    if seconds is None:
        return "grows with the table"
    if seconds < _MAX_INSTANT_S:
        return "instant"
    return "seconds" if seconds < _MAX_SECONDS_S else "minutes"
