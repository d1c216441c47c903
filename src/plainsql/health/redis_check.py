"""The check of Redis: it accepts a connection, and stores, returns and deletes a key."""

from __future__ import annotations

import secrets
import statistics
import time
from typing import Any

from plainsql.errors import SettingsError
from plainsql.health.results import Check
from plainsql.settings import hide_password, redis_url

__all__ = ["check_redis"]

_TIMEOUT_S = 5.0

_OTHER_URLS = {
    "cluster": ("it is a node of a cluster", "write redis+cluster:// or rediss+cluster:// in the URL"),
    "sentinel": ("it is a Sentinel", "write redis+sentinel://host:26379/service in the URL"),
}
"""The problem and the hint for the URL of one server that leads to something else, by ``redis_mode``."""


def check_redis(url: str | None, *, required: bool, timeout: float | None = None) -> Check:
    """Check the Redis of ``url``, or the configured one.

    ``timeout``: seconds that connecting, and each answer, may take; by default 5.
    """
    timeout = min(timeout or _TIMEOUT_S, _TIMEOUT_S)
    try:
        configured = redis_url(url)
    except SettingsError as error:
        return Check("redis", "failed", error.message, error.hint)
    if configured is None:
        hint = "set REDIS_URL, or REDIS_HOST and the rest"
        return Check("redis", "failed" if required else "skipped", "none is configured", hint)
    try:
        import redis
    except ModuleNotFoundError:
        return Check("redis", "failed", "the package redis is not there", "pip install 'plainsql[redis]'")
    from redis import exceptions
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    from plainsql.health.redis_group_check import check_group

    if "+" in configured.partition("://")[0]:
        return check_group(configured, timeout=timeout)
    what = f"cannot be used at {hide_password(configured)}"
    try:
        client = redis.Redis.from_url(
            configured,
            socket_connect_timeout=timeout,
            socket_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
    except (ValueError, TypeError):
        # Its text may quote the password.
        return Check(
            "redis", "failed", "its URL cannot be read", "a URL looks like redis://:password@host:6379/0"
        )
    with client:
        try:
            return _try(client, hide_password(configured))
        except redis.AuthenticationError:
            return Check(
                "redis", "failed", f"{what}: it does not let us in", "check the user and the password"
            )
        except redis.TimeoutError:
            text = f"{what}: no answer within {timeout:g} s"
            return Check("redis", "failed", text, "check the host and port, and firewalls on the way")
        except exceptions.NoPermissionError:
            text = f"{what}: the user may not do what is needed"
            return Check("redis", "failed", text, "allow info, set, get and del to the user, for plainsql:*")
        except exceptions.ReadOnlyError:
            return Check("redis", "failed", f"{what}: it is a replica", "connect to the primary")
        except exceptions.OutOfMemoryError:
            text = f"{what}: its memory is full"
            return Check("redis", "failed", text, "raise maxmemory, or set an eviction policy")
        except redis.ConnectionError as error:
            if _is_refused_login(error):
                text = f"{what}: it does not let us in"
                return Check("redis", "failed", text, "check the user and the password")
            return Check("redis", "failed", f"{what}: no server answers there", "start it, or check the URL")
        except redis.RedisError as error:
            return Check("redis", "failed", f"{what}: {type(error).__name__}", "read its log")


def _is_refused_login(error: BaseException | None) -> bool:
    while error is not None:
        if any(word in str(error) for word in ("NOAUTH", "WRONGPASS", "invalid username-password")):
            return True
        error = error.__cause__ or error.__context__
    return False


def _try(client: Any, address: str) -> Check:
    server = client.info("server")
    if (mode := str(server.get("redis_mode"))) in _OTHER_URLS:
        return Check("redis", "failed", *_OTHER_URLS[mode])
    key, value = f"plainsql:test:{secrets.token_hex(8)}", secrets.token_hex(8)
    client.set(key, value, ex=60)
    try:
        is_kept = client.get(key) == value
    finally:
        client.delete(key)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        client.ping()
        times.append((time.perf_counter() - began) * 1000)
    memory = client.info("memory")
    latency, limit = statistics.median(times), int(memory.get("maxmemory", 0))
    policy = str(memory.get("maxmemory_policy", "unknown"))
    used = int(memory.get("used_memory", 0))
    found = {
        "version": str(server.get("redis_version", "")),
        "address": address,
        "latency_ms": round(latency, 3),
        "eviction_policy": policy,
        "used_memory_bytes": used,
        "maxmemory_bytes": limit or None,
    }
    of = f" of {limit / 1e6:,.1f} MB" if limit else ", no limit"
    text = (
        f"{found['version']} at {address}, {latency:.2f} ms a round trip, {used / 1e6:,.1f} MB{of}, {policy}"
    )
    if not is_kept:
        return Check("redis", "failed", f"{text}; a key was not kept", "is there a proxy in between?", found)
    if limit and policy == "noeviction":
        hint = "writes fail when it is full: set maxmemory-policy, volatile-lru for one"
        return Check("redis", "warning", text, hint, found)
    return Check("redis", "ok", text, None, found)
