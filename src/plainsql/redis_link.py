"""The former name of ``plainsql.redis_connection``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainsql import redis_connection
from plainsql.deprecation import warn_of_old_name

if TYPE_CHECKING:
    from plainsql.redis_connection import RedisConnection as Link
    from plainsql.redis_connection import RedisSource, Script

__all__ = ["Link", "RedisSource", "Script"]

_NEW_NAMES = {"Link": "RedisConnection"}


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(name)
    new = _NEW_NAMES.get(name, name)
    try:
        value: object = getattr(redis_connection, new)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    warn_of_old_name(f"{__name__}.{name}", f"plainsql.redis_connection.{new}")
    return value
