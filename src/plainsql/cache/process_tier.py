"""The first tier of the cache, in the process: values that were valid a moment ago."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from plainsql.cache.keys import Tag, Touched

__all__ = ["HeldValue", "ProcessTier"]


_NO_KEYS: frozenset[bytes] = frozenset()


class HeldValue(NamedTuple):
    """A value, and the end of its life on the monotonic clock."""

    ends: float
    data: bytes
    tags: tuple[Tag, ...]
    prefixes: tuple[str, ...]


class ProcessTier:
    """The values that the process holds: at most ``entries``; the oldest goes first.

    A value is served for its time, counted from the *beginning* of the read that found it valid. Writes of
    this process drop the values that they touch immediately.
    """

    def __init__(self, entries: int = 10_000, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = entries
        self.clock = clock
        self.held: dict[bytes, HeldValue] = {}
        # By table: its columns, and its partitions.
        self._index: dict[str, tuple[dict[str, set[bytes]], dict[str, set[bytes]]]] = {}
        self._writes: dict[str, int] = {}
        self._clears = 0

    def moment(self, tables: Iterable[str]) -> tuple[int, ...]:
        """Return the state of the tables, which ``put`` compares to notice the writes in between."""
        return (self._clears, *(self._writes.get(table, 0) for table in tables))

    def put(self, key: bytes, held: HeldValue, tables: Iterable[str], moment: tuple[int, ...]) -> None:
        """Hold a value, unless this process has written to its tables since ``moment``."""
        if self.moment(tables) != moment:
            return
        self.pop(key)
        while len(self.held) >= self._most:
            self.pop(next(iter(self.held)))
        self.held[key] = held
        for table, column, partition in held.tags:
            columns, partitions = self._index.setdefault(table, ({}, {}))
            columns.setdefault(column, set()).add(key)
            if partition:
                partitions.setdefault(partition, set()).add(key)

    def pop(self, key: bytes) -> None:
        """Drop a value."""
        held = self.held.pop(key, None)
        if held is None:
            return
        for table, column, partition in held.tags:
            for index, name in zip(self._index[table], (column, partition), strict=True):
                if (keys := index.get(name)) is not None:
                    keys.discard(key)
                    if not keys:
                        del index[name]

    def drop(self, touched: Touched) -> None:
        """Drop the values that a write touches, and refuse those that were read before it."""
        for table, known in touched.items():
            self._writes[table] = self._writes.get(table, 0) + 1
            index = self._index.get(table)
            if index is None:
                continue
            columns, partitions = index
            keys: set[bytes] = set()
            for column, found in columns.items():
                if column not in known:
                    keys |= found
            for tags in known.values():
                for partition in tags:
                    keys |= partitions.get(partition, _NO_KEYS)
            for key in keys:
                self.pop(key)

    def clear(self, prefix: str) -> None:
        """Drop the values of all queries under a prefix."""
        self._clears += 1
        for key in [key for key, held in self.held.items() if prefix in held.prefixes]:
            self.pop(key)
