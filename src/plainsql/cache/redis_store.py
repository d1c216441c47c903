"""The store in Redis, for all processes. tags.lua describes the keys."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from plainsql.cache.cached_query import CachedCall, CallShape
from plainsql.cache.keys import Tag, Touched
from plainsql.cache.prepared_lookup import PreparedLookup, lookup_script
from plainsql.cache.scripts import cache_script
from plainsql.cache.shared_audit import SharedAudit
from plainsql.cache.store import Lookup, State
from plainsql.errors import RedisUnavailableError
from plainsql.redis_connection import RedisConnection, RedisSource, Script
from plainsql.redis_majority import TAKEOVER_S

__all__ = ["RedisStore"]

_MAX_PREPARED = 10_000
_MAX_TERMS = 1000
_FILL = ("tags.lua", "versions.lua", "fill.lua")
_SLOT_VERSIONS = ("tags.lua", "versions.lua", "slot_versions.lua")
_BEGIN = ("tags.lua", "begin.lua")
_PUBLISH = ("tags.lua", "publish.lua")
_STATES: tuple[State, ...] = ("pending", "hit", "refresh", "fill", "busy")


class _Part(NamedTuple):
    """Versions in one slot, as versions.lua takes them."""

    keys: list[str]
    names: tuple[str, ...]
    columns: tuple[str, ...]

    def packed(self, *numbers: int) -> bytes:
        """Return the names, the columns and numbers, as scripts unpack them."""
        return _pack((self.names, self.columns, *numbers))


class RedisStore:
    """Entries and versions in one Redis or a cluster.

    ``redis`` is a client of redis-py, a ``RedisConnection``, a URL, or None for the configured one. Programs
    that share a ``namespace`` share a cache: use one namespace for each database. ``deadline`` is the time
    limit of a reader's call, in seconds, ``write_deadline`` that of a writer's.

    ``quarantine``: seconds for which nothing is stored of a table that Redis does not know. Redis may have
    lost a marker whose writer has not committed yet. Use 0 if losing both Redis and a writer at one moment
    does not matter.
    """

    def __init__(
        self,
        redis: RedisSource = None,
        *,
        namespace: str = "",
        deadline: float = 0.25,
        write_deadline: float = 1.0,
        quarantine: float = 1.0,
    ) -> None:
        self.link, self._owned = RedisConnection.of(redis)
        self._prefix = f"plainsql:{quote(namespace, safe='.')}:" if namespace else "plainsql:"
        self._names = self._prefix + "{~}"
        self._deadline, self._write_deadline = deadline, write_deadline
        self._may_fail_over = self.link.may_fail_over
        self._is_trusted = self.link.trust > 0
        self._send = self.link.send_trusted if self._is_trusted else self.link.send
        # Nothing is stored on a new master while a write may be committed whose marker is on the former one.
        self._quarantine = _ms(quarantine + (self.link.trust + write_deadline if self._is_trusted else 0))
        self._terms: dict[bytes, float] = {}
        """The terms of masters (term.lua), and when this process has first written in them."""
        self._hashes: dict[str, str] = {}
        self._prepared: dict[CallShape, PreparedLookup] = {}
        self.audits = SharedAudit(self.link, self._names)
        """The audits in which all programs of the namespace take part."""

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
        shape = call.shape
        if shape is None or versions or not self.link.is_pipelined:
            refresh = -1 if versions else _ms(refresh_below)
            return await self._lookup_unprepared(call, token, _ms(keep), _ms(lease), refresh)
        prepared = self._prepared.get(shape)
        if prepared is None or prepared.times != (keep, lease, refresh_below):
            prepared = self._prepare(shape, keep, lease, refresh_below)
        reply = await self._send(prepared.script, prepared.command(call, token), self._deadline)
        if type(reply) is bytes:
            return Lookup("hit", reply[reply.index(b"\n") + 1 :])
        return self._found(reply)

    def _found(self, reply: Any) -> Lookup:
        try:
            return Lookup(_STATES[reply[0]], *reply[1:3])
        except (TypeError, IndexError):
            raise self._not_redis() from None

    def _prepare(self, shape: CallShape, keep: float, lease: float, refresh_below: float) -> PreparedLookup:
        if len(self._prepared) >= _MAX_PREPARED:
            self._prepared.clear()  # shapes of queries that are no more
        refresh = _ms(refresh_below)
        home = self._hash(shape.places[0][0]) if shape.places else self._names
        hashes = [self._hash(table) for table, _ in shape.places]
        prepared = PreparedLookup(
            (keep, lease, refresh_below),
            shape,
            [home, self._names, *hashes],
            refresh,
            _pack(([column for _, column in shape.places], _ms(lease), refresh, _ms(keep), self._quarantine)),
            may_fail_over=self._may_fail_over,
        )
        self._prepared[shape] = prepared
        return prepared

    async def _lookup_unprepared(
        self, call: CachedCall, token: str, keep: int, lease: int, refresh: int
    ) -> Lookup:
        if self.link.is_cluster:
            return await self._lookup_by_slot(call, token, keep, lease, refresh)
        part = self._whole(call)
        packed = _pack((part.columns, lease, refresh, keep, self._quarantine))
        keys = [*self._entry(call), *part.keys]
        script = lookup_script(len(part.names), may_fail_over=self._may_fail_over)
        return self._found(await self._run(script, keys, [token, *part.names, packed]))

    async def fill(
        self, call: CachedCall, token: str, versions: bytes, data: bytes | None, ttl: float
    ) -> bool:
        life = 0 if data is None else max(_ms(ttl), 1)
        if self.link.is_cluster:
            return await self._fill_by_slot(call, token, versions, data or b"", life)
        part = self._whole(call)
        keys = [*self._entry(call), *part.keys]
        reply = await self._run(
            self._script(*_FILL), keys, [token, versions, data or b"", life, part.packed()]
        )
        return bool(reply == 1)

    async def release(self, call: CachedCall, token: str) -> None:
        await self._run(self._script("release.lua"), [self._entry(call)[1]], [token])

    async def begin(self, token: str, touched: Touched, ttl: float) -> None:
        start: list[str | int] = [token, _ms(ttl), self._quarantine]
        while await self._write(self._script(*_BEGIN), start, touched):
            pass  # after the wait, the master may be another one

    async def publish(self, token: str, touched: Touched) -> None:
        await self._write(self._script(*_PUBLISH), [token], touched)

    async def forget(self, call: CachedCall) -> None:
        await self._leave_former(await self._run(self._script("forget.lua"), [self._entry(call)[0]], []))

    async def clear(self, prefix: str, token: str) -> None:
        script, deadline = self._script("clear.lua"), self._write_deadline
        await self._leave_former(await self._run(script, [self._names], [prefix, token], deadline))

    async def aclose(self) -> None:
        if self._owned:
            await self.link.aclose()

    async def _run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[bytes | str | int],
        deadline: float | None = None,
    ) -> Any:
        deadline = deadline or self._deadline
        return await self.link.run(script, keys, arguments, deadline=deadline, trusted=self._is_trusted)

    def _script(self, *names: str) -> Script:
        return cache_script(*names, may_fail_over=self._may_fail_over)

    async def _leave_former(self, *replies: Any) -> bool:
        """Wait until no reader uses the former master any more, if this one is new; return whether it was.

        An invalidation does not reach the former one. Without this wait a reader could have an old result
        from it after the write has returned.
        """
        if not self._is_trusted:
            return False
        now = asyncio.get_running_loop().time()
        wait = 0.0
        for term, rest in replies:
            if term not in self._terms and len(self._terms) >= _MAX_TERMS:
                self._terms.clear()
            # Readers have been leaving the former master since before this process knew the new one.
            first = self._terms.setdefault(term, now)
            wait = max(wait, min(rest / 1000, first + TAKEOVER_S - now))
        if wait > 0:
            await asyncio.sleep(wait)
        return wait > 0

    def _not_redis(self) -> RedisUnavailableError:
        return RedisUnavailableError(
            f"the server at {self.link.address} is not Redis", hint="check the address in the URL"
        )

    # Where things lie ---------------------------------------------------------------------------------

    def _hash(self, table: str) -> str:
        key = self._hashes.get(table)
        if key is None:
            key = self._hashes[table] = f"{self._prefix}{{{quote(table, safe='.')}}}"
        return key

    def _entry(self, call: CachedCall) -> tuple[str, str]:
        """Return the keys of the entry and of its lease, in the slot of its first table."""
        home = self._hash(call.tags[0].table) if call.tags else self._names
        return f"{home}:e:{call.digest}", f"{home}:l:{call.digest}"

    def _whole(self, call: CachedCall) -> _Part:
        """Return all versions of a call."""
        keys = [self._names]
        for table, column, partition in call.tags:
            home = self._hash(table)
            keys += (home, f"{home}:{partition}" if column else home)
        return _Part(keys, call.prefixes, tuple([tag.column for tag in call.tags]))

    # A cluster ----------------------------------------------------------------------------------------

    def _parts(self, call: CachedCall) -> list[_Part]:
        """Return the versions of a call by slot: names, then tables."""
        parts = [_Part([self._names], call.prefixes, ())]
        tables: dict[str, list[Tag]] = {}
        for tag in call.tags:
            tables.setdefault(tag.table, []).append(tag)
        for table, tags in tables.items():
            home = self._hash(table)
            keys = [key for tag in tags for key in (home, f"{home}:{tag.partition}" if tag.column else home)]
            parts.append(_Part(keys, (), tuple(tag.column for tag in tags)))
        return parts

    async def _versions_by_slot(self, call: CachedCall, token: str, keep: int) -> bytes:
        trips = (
            self._run(
                self._script(*_SLOT_VERSIONS), part.keys, [token, keep, self._quarantine, part.packed()]
            )
            for part in self._parts(call)
        )
        found = await asyncio.gather(*trips)
        return b"".join(found) if all(found) else b""

    async def _lookup_by_slot(
        self, call: CachedCall, token: str, keep: int, lease: int, refresh: int
    ) -> Lookup:
        keys = self._entry(call)
        versions, (entry, rest) = await asyncio.gather(
            self._versions_by_slot(call, token, keep),
            self._run(self._script("slot_entry.lua"), keys, ["get"]),
        )
        if not versions:
            return Lookup("pending")
        valid = entry.startswith(versions)
        if valid and not 0 <= rest <= refresh:
            return Lookup("hit", entry[len(versions) :], versions if refresh < 0 else b"")
        took, stored = await self._run(self._script("slot_entry.lua"), keys, ["take", token, lease])
        if valid:
            return Lookup("refresh" if took else "hit", entry[len(versions) :], versions)
        if not took:
            return Lookup("busy")
        if stored.startswith(versions):
            await self.release(call, token)
            return Lookup("hit", stored[len(versions) :], versions if refresh < 0 else b"")
        return Lookup("fill", b"", versions)

    async def _fill_by_slot(
        self, call: CachedCall, token: str, versions: bytes, data: bytes, life: int
    ) -> bool:
        # The entry names the versions that it is valid under, so it may be stored before they are known.
        _, current = await asyncio.gather(
            self._run(
                self._script("slot_entry.lua"), self._entry(call), ["put", token, versions + data, life]
            ),
            self._versions_by_slot(call, "", 0),
        )
        return current == versions

    async def _write(self, script: Script, start: list[str | int], touched: Touched) -> bool:
        """Run a script on the tables that a write touches, and return whether a wait was needed."""
        parts: list[tuple[list[str], list[str | int]]] = []
        for table, known in touched.items():
            home = self._hash(table)
            tags = sorted(tag for found in known.values() for tag in found)
            lines = "\n" + "".join(f"{tag}\n" for tag in tags)
            # A column without a touched row is known all the same.
            lines += "".join(f"{column}=\n" for column, found in known.items() if not found)
            parts.append(([home, *(f"{home}:{tag}" for tag in tags)], [len(tags), lines]))
        if self.link.is_cluster:
            trips = [self._run(script, keys, [*start, *rest], self._write_deadline) for keys, rest in parts]
            return await self._leave_former(*await asyncio.gather(*trips))
        if parts:
            keys = [key for part, _ in parts for key in part]
            rest = [argument for _, arguments in parts for argument in arguments]
            reply = await self._run(script, keys, [*start, *rest], self._write_deadline)
            return await self._leave_former(reply)
        return False


_pack = msgspec.msgpack.Encoder().encode


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
