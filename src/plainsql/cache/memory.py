"""The store of one process, with the same protocol as the one in Redis."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from plainsql.cache.cached_query import CachedCall
from plainsql.cache.keys import Tag, TagSets, Touched
from plainsql.cache.store import Lookup

__all__ = ["MemoryStore"]


class _Entry(NamedTuple):
    versions: bytes
    data: bytes
    ends: float


class _Lease(NamedTuple):
    token: str
    ends: float


class _Marker(NamedTuple):
    tags: TagSets
    ends: float

    def covers(self, tag: Tag) -> bool:
        known = self.tags.get(tag.column)
        return known is None or tag.partition in known


class _Table:
    __slots__ = ("columns", "markers", "partitions")

    def __init__(self) -> None:
        # The empty column means the whole table.
        self.columns: dict[str, str] = {}
        self.partitions: dict[str, dict[str, str]] = {}
        self.markers: dict[str, _Marker] = {}


class MemoryStore:
    """The entries and versions of one process and one event loop, which sees its own writes only.

    It has at most ``entries`` entries of together ``bytes`` bytes; those that were not read for longest go
    first.
    """

    def __init__(
        self,
        *,
        entries: int = 10_000,
        bytes: int = 64 * 2**20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_entries, self._most_bytes = entries, bytes
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        self._leases: dict[str, _Lease] = {}
        self._tables: dict[str, _Table] = {}
        self._partitions = 0
        self._made = 0
        self._names: dict[str, str] = {}

    async def lookup(
        self,
        call: CachedCall,
        token: str,
        *,
        keep: float,
        lease: float,
        refresh_below: float = 0.0,
        versions: bool = False,
    ) -> Lookup:
        now = self._clock()
        current = self._versions(call, token, now)
        if current is None:
            return Lookup("pending")
        entry = self._entries.get(call.digest)
        if entry is not None and entry.versions == current and entry.ends > now:
            self._entries.move_to_end(call.digest)
            if entry.ends - now <= refresh_below and self._acquire_lease(call, token, now, lease):
                return Lookup("refresh", entry.data, current)
            return Lookup("hit", entry.data, current if versions else b"")
        if not self._acquire_lease(call, token, now, lease):
            return Lookup("busy")
        return Lookup("fill", b"", current)

    async def fill(
        self, call: CachedCall, token: str, versions: bytes, data: bytes | None, ttl: float
    ) -> bool:
        ours = self._release_lease(call, token)
        now = self._clock()
        if self._versions(call, None, now) != versions:
            return False
        if ours and data is not None:
            self._drop(call.digest)
            self._entries[call.digest] = _Entry(versions, data, now + ttl)
            self._bytes += len(data)
            while len(self._entries) > self._most_entries or self._bytes > self._most_bytes:
                self._drop(next(iter(self._entries)))
        return True

    async def release(self, call: CachedCall, token: str) -> None:
        self._release_lease(call, token)

    async def begin(self, token: str, touched: Touched, ttl: float) -> None:
        self._destroy(touched)
        ends = self._clock() + ttl
        for name, tags in touched.items():
            self._tables.setdefault(name, _Table()).markers[token] = _Marker(tags, ends)

    async def publish(self, token: str, touched: Touched) -> None:
        self._destroy(touched)
        for name in touched:
            if (table := self._tables.get(name)) is not None:
                table.markers.pop(token, None)

    async def forget(self, call: CachedCall) -> None:
        self._drop(call.digest)

    async def clear(self, prefix: str, token: str) -> None:
        self._names[prefix] = token

    async def aclose(self) -> None:
        self._entries.clear()
        self._bytes = 0

    def _versions(self, call: CachedCall, token: str | None, now: float) -> bytes | None:
        """Return the versions of a call's tags, and make missing ones under ``token``; None if one is missing
        and cannot be made.
        """
        found = [self._names.get(prefix, "-") for prefix in call.prefixes]
        for tag in call.tags:
            table = self._tables.get(tag.table)
            if table is None:
                table = self._tables[tag.table] = _Table()
            partitions = table.partitions.setdefault(tag.column, {}) if tag.column else {}
            version = table.columns.get(tag.column)
            part = partitions.get(tag.partition) if tag.column else ""
            if version is None or part is None:
                if token is None or self._is_pending(table, tag, now):
                    return None
                version = table.columns.setdefault(tag.column, self._make(token))
                if part is None:
                    part = partitions[tag.partition] = self._make(token)
                    self._count_partition()
            found += [version, part]
        return "|".join(found).encode()

    def _make(self, token: str) -> str:
        self._made += 1
        return f"{token}.{self._made}"

    def _is_pending(self, table: _Table, tag: Tag, now: float) -> bool:
        pending = False
        for token, marker in list(table.markers.items()):
            if marker.ends <= now:
                del table.markers[token]
            elif marker.covers(tag):
                pending = True
        return pending

    def _count_partition(self) -> None:
        self._partitions += 1
        if self._partitions > 4 * self._most_entries:
            # As if Redis had evicted them: a missing version is a miss.
            for table in self._tables.values():
                table.partitions.clear()
            self._partitions = 0

    def _destroy(self, touched: Touched) -> None:
        for name, tags in touched.items():
            table = self._tables.get(name)
            if table is None:
                continue
            for column in [column for column in table.columns if column not in tags]:
                del table.columns[column]
            for column, partitions in tags.items():
                if known := table.partitions.get(column):
                    for partition in partitions:
                        known.pop(partition, None)

    def _acquire_lease(self, call: CachedCall, token: str, now: float, lease: float) -> bool:
        held = self._leases.get(call.digest)
        if held is not None and held.ends > now:
            return False
        self._leases[call.digest] = _Lease(token, now + lease)
        return True

    def _release_lease(self, call: CachedCall, token: str) -> bool:
        held = self._leases.get(call.digest)
        if held is None or held.token != token:
            return False
        del self._leases[call.digest]
        return True

    def _drop(self, digest: str) -> None:
        if (entry := self._entries.pop(digest, None)) is not None:
            self._bytes -= len(entry.data)
