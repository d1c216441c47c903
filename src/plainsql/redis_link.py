"""The former name of ``plainsql.redis_connection``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainsql import redis_connection
from plainsql.deprecation import former_attribute, warn_of_old_name

if TYPE_CHECKING:
    from plainsql.redis_connection import RedisConnection as Link
    from plainsql.redis_connection import RedisSource, Script

__all__ = ["Link", "RedisSource", "Script"]

_NEW_NAMES = {"Link": "RedisConnection"}


def __getattr__(name: str) -> object:
    new, value = former_attribute(__name__, redis_connection, _NEW_NAMES, name)
    warn_of_old_name(f"{__name__}.{name}", f"plainsql.redis_connection.{new}")
    return value
