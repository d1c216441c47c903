"""Protocols with a hole, as other caches have them: the check must find each out."""

from __future__ import annotations

from typing import Any

from plainsql.cache import CachedCall, Lookup, Touched
from plainsql.cache.redis_store import RedisStore
from plainsql.redis_connection import RedisSource, Script

__all__ = ["STORES"]


class NoMarker(RedisStore):
    """Versions change after the commit only: a writer that dies before that leaves its readers what was."""

    async def begin(self, token: str, touched: Touched, ttl: float) -> None:
        """Do nothing."""


class Counters(RedisStore):
    """Versions are counters, which begin again when they are evicted, and reach their old values again."""

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
        reply = await self._run(
            _LOOK, [*self._entry(call), *self._counters(call)], [token, round(lease * 1000)]
        )
        return Lookup(("pending", "hit", "refresh", "fill", "busy")[reply[0]], *reply[1:])

    async def fill(
        self, call: CachedCall, token: str, versions: bytes, data: bytes | None, ttl: float
    ) -> bool:
        keys = [*self._entry(call), *self._counters(call)]
        return bool(await self._run(_FILL, keys, [token, versions, data or b"", round(ttl * 1000)]))

    async def begin(self, token: str, touched: Touched, ttl: float) -> None:
        await self._run(_MARK, self._touched(touched), [round(ttl * 1000)])

    async def publish(self, token: str, touched: Touched) -> None:
        await self._run(_SETTLE, self._touched(touched), [])

    def _counters(self, call: CachedCall) -> list[str]:
        return [f"n:{tag.table}:{tag.partition or '*'}" for tag in call.tags]

    def _touched(self, touched: Touched) -> list[str]:
        return [
            key
            for table, known in touched.items()
            for key in (f"n:{table}:*", *(f"n:{table}:{tag}" for tags in known.values() for tag in tags))
        ]


class NoTerm(RedisStore):
    """Versions are valid on every master: a promoted replica brings back those that it saw no end of."""

    def __init__(self, redis: RedisSource = None, **options: Any) -> None:
        super().__init__(redis, **options)
        self._may_fail_over = False

    async def _leave_former(self, *replies: Any) -> bool:
        return False


class NoTrust(RedisStore):
    """The master is the one that the connection was opened to, whatever the others say by now."""

    def __init__(self, redis: RedisSource = None, **options: Any) -> None:
        super().__init__(redis, **options)
        self._is_trusted = False
        self._send = self.link.send


class NoWait(RedisStore):
    """A write on a new master returns while others still read from the former one."""

    async def begin(self, token: str, touched: Touched, ttl: float) -> None:
        """Read the topology first: this writer is always among the first to know the master."""
        await self.link.topology()
        await super().begin(token, touched, ttl)

    async def _leave_former(self, *replies: Any) -> bool:
        return False


_CURRENT = """
local found = {}
for i = 3, #KEYS do
  if redis.call('EXISTS', KEYS[i] .. '!') == 1 then
    return { 0 }
  end
  found[#found + 1] = redis.call('GET', KEYS[i]) or '0'
end
local current = table.concat(found, '|') .. '\\n'
"""
_LOOK = Script(
    _CURRENT
    + """
local entry = redis.call('GET', KEYS[1])
if entry and string.sub(entry, 1, #current) == current then
  return { 1, string.sub(entry, #current + 1) }
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return { 3, '', current }
end
return { 4 }
"""
)
_FILL = Script(
    _CURRENT.replace("return { 0 }", "return 0")
    + """
redis.call('DEL', KEYS[2])
if current ~= ARGV[2] then
  return 0
end
redis.call('SET', KEYS[1], current .. ARGV[3], 'PX', ARGV[4])
return 1
"""
)
_MARK = Script("for _, key in ipairs(KEYS) do redis.call('SET', key .. '!', '1', 'PX', ARGV[1]) end")
_SETTLE = Script("for _, key in ipairs(KEYS) do redis.call('INCR', key) redis.call('DEL', key .. '!') end")

STORES: dict[str, type[RedisStore]] = {
    "": RedisStore,
    "no-marker": NoMarker,
    "counters": Counters,
    "term": NoTerm,
    "trust": NoTrust,
    "wait": NoWait,
}
