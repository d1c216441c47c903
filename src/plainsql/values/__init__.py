"""Values in Redis: typed, with a time to live, and loaded by one caller at a time.

::

    class Rate(msgspec.Struct):
        currency: str
        euros: float

    async with Values("redis://localhost", Rate, ttl=600) as rates:
        await rates.set("USD", Rate("USD", 0.92))
        rate = await rates.get("USD")
        rate = await rates.get_or_load("CHF", lambda: fetch_rate("CHF"))
        await rates.delete("USD")

``SyncValues`` is the same for programs that are not asynchronous.
"""

from __future__ import annotations

from plainsql.values.sync_values import SyncValues
from plainsql.values.values import Key, Values, WithoutRedis

__all__ = ["Key", "SyncValues", "Values", "WithoutRedis"]
