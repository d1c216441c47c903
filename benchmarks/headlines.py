"""The most wanted comparisons, in one line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.results import Measured
from benchmarks.spread import Spread, ratio

__all__ = ["Headline", "headlines"]


class Headline(NamedTuple):
    text: str
    loop: str
    ratio: Spread
    """Above 1: plainsql does more in a second."""


_COMPARISONS = (
    ("point-read/1", "asyncpg-pool", "asyncpg's pool, structs"),
    ("point-read/1", "asyncpg-held", "a held asyncpg connection, structs: the limit"),
    ("point-read/1", "plainsql-unjoined", "itself with autobatching off"),
    ("point-read/64", "asyncpg-pool", "asyncpg's pool, structs"),
    ("point-read/64", "sqlalchemy-core", "SQLAlchemy Core"),
    ("point-read/256", "asyncpg-pool", "asyncpg's pool, structs"),
    ("rows/1000", "asyncpg-pool", "asyncpg's pool, structs"),
    ("rows/1000", "asyncpg-records", "asyncpg's pool, bare records"),
    ("batch-read/100", "asyncpg-pool", "asyncpg's fetchmany, structs"),
    ("tenant-read/1", "asyncpg-pool", "asyncpg's pool, a transaction and set_config"),
    ("tenant-request/1", "asyncpg-pool", "asyncpg's pool, a transaction and set_config"),
    ("tenant-same/1", "asyncpg-pool", "asyncpg's pool, a transaction and set_config"),
    ("search/1", "asyncpg-pool", "asyncpg's pool, structs"),
    ("search/60", "asyncpg-pool", "asyncpg's pool, structs"),
    ("search/60", "plainsql-unjoined", "itself, each call alone"),
    ("insert/1", "asyncpg-pool", "asyncpg's pool"),
    ("bulk-insert", "asyncpg-pool", "asyncpg's copy of ready tuples"),
    ("stream", "asyncpg-records", "asyncpg's cursor, bare records"),
    ("stream", "asyncpg-pool", "asyncpg's cursor, structs"),
)


def headlines(measured: Sequence[Measured]) -> list[Headline]:
    """Return plainsql's ratio to the other side of each comparison, where both were measured."""
    found = []
    for case, other, text in _COMPARISONS:
        for one in measured:
            if one.case != case:
                continue
            mine, theirs = one.rates("plainsql"), one.rates(other)
            if mine and theirs:
                found.append(Headline(f"{one.title}, against {text}", one.loop, ratio(mine, theirs)))
    return found
