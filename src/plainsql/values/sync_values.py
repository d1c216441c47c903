"""Typed values in Redis, for programs that are not asynchronous."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutine
from typing import Any, Generic, TypeVar, Unpack, overload

from plainsql.errors import BindError
from plainsql.options import check
from plainsql.sync_redis_connection import SyncRedisService, SyncRedisSource
from plainsql.values.values import Key, Options, Turn, Values, WithoutRedis

__all__ = ["SyncValues"]

T = TypeVar("T")
D = TypeVar("D")


class SyncValues(SyncRedisService, Generic[T]):
    """``Values`` for programs that are not asynchronous: the same methods, for any number of threads.

    ``redis`` is a URL, a ``SyncRedisConnection``, or nothing for the configured one.
    """

    @overload
    def __init__(self, redis: SyncRedisSource, type: type[T], **options: Unpack[Options]) -> None: ...
    @overload
    def __init__(self, redis: SyncRedisSource, type: Any, **options: Unpack[Options]) -> None: ...
    def __init__(
        self,
        redis: SyncRedisSource,
        type: Any,
        *,
        prefix: str | None = None,
        ttl: float = 86_400.0,
        deadline: float = 0.5,
        lease: float = 5.0,
        lease_wait: float = 10.0,
        without_redis: WithoutRedis = "raise",
    ) -> None:
        super().__init__(redis)
        self._values: Values[T] = Values(
            self._link,
            type,
            prefix=prefix,
            ttl=ttl,
            deadline=deadline,
            lease=lease,
            lease_wait=lease_wait,
            without_redis=without_redis,
        )

    @overload
    def get(self, key: Key) -> T | None: ...
    @overload
    def get(self, key: Key, default: D) -> T | D: ...
    def get(self, key: Key, default: Any = None) -> Any:
        """Return a value, or ``default`` if there is none of this type."""
        return self._link.wait_for(self._values.get(key, default))

    def set(self, key: Key, value: T, *, ttl: float | None = None) -> None:
        """Store a value; see ``Values.set``."""
        self._link.wait_for(self._values.set(key, value, ttl=ttl))

    def delete(self, key: Key) -> bool:
        """Delete a value; see ``Values.delete``."""
        return self._link.wait_for(self._values.delete(key))

    def get_or_load(self, key: Key, load: Callable[[], T], *, ttl: float | None = None) -> T:
        """Return a value, or load it; see ``Values.get_or_load``. ``load`` runs in the caller's thread."""
        check("get_or_load", load=load, ttl=ttl)
        found = self._link.wait_for(self._values._begin(key), undo=self._abandon)
        if not isinstance(found, Turn):
            return found
        try:
            value = load()
            if iscoroutine(value):
                value.close()
                raise BindError("load: expected a function that is not async", hint="use Values for it")
        except BaseException as error:
            self._link.wait_for(self._values._fail(found, error))
            raise
        return self._link.wait_for(self._values._finish(found, value, ttl))

    def _abandon(self, found: T | Turn) -> None:
        if isinstance(found, Turn):
            self._values._abandon(found)

    def __repr__(self) -> str:
        return repr(self._values).replace("<Values", "<SyncValues", 1)
