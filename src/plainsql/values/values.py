"""The typed values of a program in Redis."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from inspect import isawaitable
from typing import Any, Generic, Literal, Self, TypedDict, TypeVar, Unpack, overload
from uuid import UUID

import msgspec

from plainsql.application import redis_prefix
from plainsql.errors import BindError, RedisUnavailableError
from plainsql.options import check
from plainsql.redis_connection import RedisConnection, RedisSource, Script
from plainsql.redis_keys import in_braces, key_text
from plainsql.values.loads import Load, Loads
from plainsql.values.type_digest import type_digest

__all__ = ["Key", "Values", "WithoutRedis"]

T = TypeVar("T")
D = TypeVar("D")

Key = str | int | UUID | tuple[str | int | UUID, ...]
"""The key of a value. A tuple's parts cannot run into each other, as in ``(tenant, user)``."""

WithoutRedis = Literal["raise", "load"]
"""The policy of ``get_or_load`` if Redis does not answer: raise ``RedisUnavailableError``, or call the
function and store nothing.
"""

_log = logging.getLogger("plainsql.values")

_PACKAGE = "plainsql.values"
_TAKEN, _BUSY = 1, 0
_FIRST_LOOK_S = 0.004
_MAX_LOOK_S = 0.25
# Between two attempts while Redis does not answer: a call should not cost a whole deadline each time.
_REDIS_RETRY_S = 1.0
_MISSING: Any = object()


@dataclass(slots=True, eq=False)
class Turn:
    """The turn of one caller to load a value."""

    key: str
    token: str = ""
    """The token of its lease; empty if the value is not stored."""
    load: Load | None = None
    """The load that other callers of the event loop wait behind."""
    renewal: asyncio.Task[None] | None = None


class Options(TypedDict, total=False):
    """The options of `Values`, which documents them."""

    prefix: str | None
    ttl: float
    deadline: float
    lease: float
    lease_wait: float
    without_redis: WithoutRedis


class Values(Generic[T]):
    """Values of one type, which msgspec stores as MessagePack.

    ``redis`` is a client of redis-py, a ``RedisConnection``, a URL, or nothing for the configured one. A
    value expires ``ttl`` seconds after it was written. ``deadline`` is the limit of one call to Redis, in
    seconds.

    A value that another type has stored counts as missing, also if the type has only changed in a field.

    ``lease`` is the time in seconds after which another process loads a value if the one that loads it has
    died. ``lease_wait`` is the time that a call waits for another process; then it loads the value for
    itself. ``without_redis`` is the policy of ``get_or_load`` if Redis does not answer.

    Processes with the same ``prefix`` share their values. By default it is the application's name (see
    ``plainsql.application``), so that applications which share a Redis do not read each other's.

    All methods raise ``RedisUnavailableError`` if Redis does not answer, except ``get_or_load`` with
    ``without_redis="load"``. A write may then have been done or not. All raise ``BindError`` for a key that
    is none.
    """

    @overload
    def __init__(self, redis: RedisSource, type: type[T], **options: Unpack[Options]) -> None: ...
    @overload
    def __init__(self, redis: RedisSource, type: Any, **options: Unpack[Options]) -> None: ...
    def __init__(
        self,
        redis: RedisSource,
        type: Any,
        *,
        prefix: str | None = None,
        ttl: float = 86_400.0,
        deadline: float = 0.5,
        lease: float = 5.0,
        lease_wait: float = 10.0,
        without_redis: WithoutRedis = "raise",
    ) -> None:
        check(
            "Values",
            redis=redis,
            prefix=prefix,
            ttl=ttl,
            deadline=deadline,
            lease=lease,
            lease_wait=lease_wait,
            without_redis=without_redis,
        )
        self._prefix = redis_prefix(prefix, "values")
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(type)
        self._digest = type_digest(type)
        self._type_name = getattr(type, "__name__", str(type))
        self._link, self._owned = RedisConnection.of(redis)
        self._ttl, self._deadline = ttl, deadline
        self._lease, self._lease_wait = lease, lease_wait
        self._without_redis = without_redis
        self._away_until = 0.0
        self._is_away = False
        self._loads = Loads()
        self._background: set[asyncio.Task[None]] = set()

    @overload
    async def get(self, key: Key) -> T | None: ...
    @overload
    async def get(self, key: Key, default: D) -> T | D: ...
    async def get(self, key: Key, default: Any = None) -> Any:
        """Return a value, or ``default`` if there is none of this type."""
        data = await self._run("read.lua", [self._key(key)], [self._digest])
        value = _MISSING if data is None else self._decoded(data)
        return default if value is _MISSING else value

    async def set(self, key: Key, value: T, *, ttl: float | None = None) -> None:
        """Store a value for ``ttl`` seconds. A load of it that is in progress is not stored.

        Raises ``BindError`` if the value is not one of the type.
        """
        check("set", ttl=ttl)
        await self._run("write.lua", self._keys(self._key(key)), [self._encode(value), self._ms(ttl)])

    async def delete(self, key: Key) -> bool:
        """Delete a value. Return whether there was one. A load of it that is in progress is not stored."""
        return bool(await self._run("remove.lua", self._keys(self._key(key)), []))

    async def get_or_load(
        self, key: Key, load: Callable[[], Awaitable[T] | T], *, ttl: float | None = None
    ) -> T:
        """Return a value; if there is none, store the result of ``load`` for ``ttl`` seconds and return it.

        One caller loads a value at a time, in this process and in all others. The callers that wait for it
        have its result, as objects of their own. If ``load`` raises an error, those of this process have the
        same error, and nothing is stored; another process calls its own ``load``. If the caller is cancelled,
        the next one calls its own.

        A result is not stored if ``set`` or ``delete`` came while it was loaded: the caller has it, and those
        that wait look again.

        Raises what ``load`` raises, and ``BindError`` if its result is not one of the type.
        """
        check("get_or_load", load=load, ttl=ttl)
        found = await self._begin(key)
        if not isinstance(found, Turn):
            return found
        try:
            value: Any = load()
            if isawaitable(value):
                value = await value
        except BaseException as error:
            await self._fail(found, error)
            raise
        return await self._finish(found, value, ttl)

    # The steps of get_or_load, which the synchronous twin takes too --------------------------------------

    async def _begin(self, key: Key) -> T | Turn:
        """Return a value, or the caller's turn to load it, which ``_finish`` or ``_fail`` must end."""
        name, loop = self._key(key), asyncio.get_running_loop()
        end, pause = loop.time() + self._lease_wait, _FIRST_LOOK_S
        is_removed = False
        own: Load | None = None  # while this caller waits for another process, for itself and for others
        try:
            while True:
                load = self._loads.get(name)
                if load is not None and load is not own:
                    data = await self._loads.wait(load)
                    if data is not None:
                        return self._decoder.decode(data)
                    continue
                token = secrets.token_urlsafe(12)
                reply = await self._take(name, token)
                if reply == _TAKEN:
                    if own is None and self._loads.get(name) is None:
                        own = self._loads.begin(name)
                    turn, own = Turn(name, token, own), None
                    turn.renewal = self._start(self._renew(name, token))
                    return turn
                if isinstance(reply, bytes):
                    value = self._decoded(reply)
                    if value is not _MISSING:
                        return value  # type: ignore[no-any-return]
                    if not is_removed:
                        is_removed = True
                        with suppress(RedisUnavailableError):  # the next look decides
                            await self._run("remove.lua", self._keys(name), [])
                        continue
                if reply != _BUSY or loop.time() >= end:
                    return Turn(name)
                if own is None:
                    if self._loads.get(name) is not None:
                        continue
                    own = self._loads.begin(name)
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))
                pause = min(pause * 2, _MAX_LOOK_S)
        finally:
            if own is not None:
                self._loads.end(name, own)

    async def _finish(self, turn: Turn, value: T, ttl: float | None) -> T:
        """End a turn with the value that was loaded, and return it."""
        try:
            stored = self._encode(value)
        except BindError as error:
            await self._fail(turn, error)
            raise
        _stop(turn)
        is_current = False
        try:
            if turn.token:
                is_current = await self._fill(turn.key, turn.token, stored, self._ms(ttl))
        except RedisUnavailableError as error:
            self._count_outage(error)  # the caller has its value
        except asyncio.CancelledError:
            self._start(self._release(turn.key, turn.token))
            raise
        finally:
            if turn.load is not None:
                result = stored[len(self._digest) :] if is_current else None
                self._loads.end(turn.key, turn.load, result)
        return value

    async def _fail(self, turn: Turn, error: BaseException) -> None:
        """End a turn without a value. The callers that wait have the error, unless it is a cancellation."""
        release = self._abandon(turn, error)
        # A cancelled caller does not wait for Redis.
        if release is not None and isinstance(error, Exception):
            await asyncio.wait([release])

    def _abandon(self, turn: Turn, error: BaseException | None = None) -> asyncio.Task[None] | None:
        """End a turn as ``_fail`` does, without a wait. Return the task that releases the lease."""
        _stop(turn)
        if turn.load is not None:
            shared = error if isinstance(error, Exception) else None
            self._loads.end(turn.key, turn.load, error=shared)
        return self._start(self._release(turn.key, turn.token)) if turn.token else None

    async def _take(self, name: str, token: str) -> bytes | int | None:
        """Return a stored value, whether the lease was taken, or None if Redis is away."""
        if self._away_until:
            if time.monotonic() < self._away_until:
                return None
            # This call tries Redis; the others do not wait for it.
            self._away_until = time.monotonic() + _REDIS_RETRY_S
        arguments: list[bytes | str | int] = [self._digest, token, round(self._lease * 1000)]
        try:
            reply: bytes | int = await self._run("take.lua", self._keys(name), arguments)
        except RedisUnavailableError as error:
            if self._without_redis == "raise":
                raise
            self._count_outage(error)
            return None
        except asyncio.CancelledError:
            self._start(self._release(name, token))  # it may have been taken
            raise
        self._away_until = 0.0
        if self._is_away:
            self._is_away = False
            _log.info("values are stored in Redis again")
        return reply

    def _count_outage(self, error: RedisUnavailableError) -> None:
        if self._without_redis == "raise":
            return  # the next call raises it
        if not self._is_away:
            self._is_away = True
            _log.warning("values are loaded without Redis: %s", error.message)
        self._away_until = time.monotonic() + _REDIS_RETRY_S

    async def _renew(self, name: str, token: str) -> None:
        """Renew a lease until it is lost, or until this is cancelled."""
        life = round(self._lease * 1000)
        while True:
            await asyncio.sleep(self._lease / 3)
            try:
                if not await self._run("renew.lua", self._keys(name)[1:], [token, life]):
                    return
            except RedisUnavailableError:
                pass  # the next try may come in time

    async def _release(self, name: str, token: str) -> None:
        with suppress(RedisUnavailableError):  # the lease expires
            await self._fill(name, token, b"", 0)

    async def _fill(self, name: str, token: str, stored: bytes, life_ms: int) -> bool:
        return bool(await self._run("fill.lua", self._keys(name), [token, stored, life_ms]))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _run(self, name: str, keys: list[str], arguments: list[bytes | str | int]) -> Any:
        return await self._link.run(_script(name), keys, arguments, deadline=self._deadline)

    def _key(self, key: Key) -> str:
        if not isinstance(key, tuple):
            return f"{self._prefix}:{{{_part(key)}}}"
        if not key:
            raise BindError("key: expected a tuple with parts, got ()")
        # No text holds a % before a colon: two tuples never have one key.
        return f"{self._prefix}:{{{'%:'.join(map(_part, key))}}}"

    @staticmethod
    def _keys(name: str) -> list[str]:
        return [name, f"{name}:lease"]

    def _ms(self, ttl: float | None) -> int:
        return round((self._ttl if ttl is None else ttl) * 1000)

    def _encode(self, value: T) -> bytes:
        """Return a value as it is stored. Raises ``BindError`` if it is not one of the type."""
        got = type(value).__name__
        try:
            data = self._encoder.encode(value)
            self._decoder.decode(data)
        except msgspec.ValidationError as error:
            raise BindError(
                f"value: expected {self._type_name}{_at(error)}, got {got}",
                hint="where nothing may be found, store it as None of a type such as T | None",
            ) from None
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            # The error may quote the value.
            raise BindError(
                f"value: {got} cannot be stored: {type(error).__name__}",
                hint="store values that MessagePack can hold: no surrogates, no numbers over 64 bits",
            ) from None
        return self._digest + data

    def _decoded(self, data: bytes) -> Any:
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _MISSING  # another program has written it under the digest

    async def aclose(self) -> None:
        """Close the connections to Redis, unless a client or a link was given."""
        loop = asyncio.get_running_loop()
        running = [task for task in self._background if task.get_loop() is loop]
        if running:
            await asyncio.wait(running, timeout=self._deadline)
        if self._owned:
            await self._link.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Values of {self._type_name} in {self._prefix!r}>"


@cache
def _script(name: str) -> Script:
    return Script.read(_PACKAGE, "state.lua", name, clock="")


def _stop(turn: Turn) -> None:
    if turn.renewal is not None:
        turn.renewal.cancel()


def _part(key: object) -> str:
    return in_braces(key_text("key", key, "give each value a key of its own"))


def _at(error: msgspec.ValidationError) -> str:
    # Some of msgspec's messages quote the value; the path at their end never does.
    _, at, path = str(error).rpartition(" - at ")
    return f" at {path}" if at else ""
