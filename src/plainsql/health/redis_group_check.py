"""The check of Redis Sentinels and their master, or of a cluster, by the connection of programs."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from typing import Any

from plainsql.errors import PlainsqlError
from plainsql.health.results import Check
from plainsql.settings import hide_password

__all__ = ["check_group"]

_USE = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000)
local found = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return { found, redis.call('INFO', 'server'), redis.call('INFO', 'memory') }
"""


def check_group(url: str, *, timeout: float) -> Check:
    """Check the servers of a URL with ``+sentinel`` or ``+cluster``. Each answer may take ``timeout``."""
    try:
        return asyncio.run(_check(url, timeout))
    except PlainsqlError as error:
        detail = f" ({error.detail})" if error.detail else ""
        text = f"cannot be used at {hide_password(url)}: {error.message}{detail}"
        return Check("redis", "failed", text, error.hint)


async def _check(url: str, timeout: float) -> Check:
    from plainsql.redis_connection import RedisConnection, Script

    key, value = f"plainsql:test:{secrets.token_hex(8)}", secrets.token_hex(8)
    async with RedisConnection(url) as link:
        use, ping = Script(_USE), Script("return redis.call('PING')")
        kept, server, memory = await link.run(use, [key], [value], deadline=timeout, trusted=True)
        times = []
        for _ in range(5):
            began = time.perf_counter()
            await link.run(ping, [key], [], deadline=timeout, trusted=True)
            times.append((time.perf_counter() - began) * 1000)
        topology = await link.topology()
    latency, policy = statistics.median(times), _field(memory, "maxmemory_policy")
    found: dict[str, Any] = {
        "version": _field(server, "redis_version"),
        "address": hide_password(url),
        "topology": topology,
        "latency_ms": round(latency, 3),
        "eviction_policy": policy,
        "used_memory_bytes": int(_field(memory, "used_memory") or 0),
        "maxmemory_bytes": int(_field(memory, "maxmemory") or 0) or None,
    }
    text = f"{found['version']}, {topology}, {latency:.2f} ms a round trip, {policy}"
    if kept.decode() != value:
        return Check("redis", "failed", f"{text}; a key was not kept", "is there a proxy in between?", found)
    if found["maxmemory_bytes"] and policy == "noeviction":
        hint = "writes fail when it is full: set maxmemory-policy, volatile-lru for one"
        return Check("redis", "warning", text, hint, found)
    return Check("redis", "ok", text, None, found)


def _field(info: bytes, name: str) -> str:
    lines = info.decode().splitlines()
    return next((line.partition(":")[2] for line in lines if line.startswith(f"{name}:")), "")
