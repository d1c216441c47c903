"""The most wanted comparisons, in one line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from benchmarks.results import Measured
from benchmarks.spread import Spread, ratio

__all__ = ["Headline", "headlines"]


class Headline(NamedTuple):
    text: str
    loop: str
    ratio: Spread
    """Above 1: plainsql, or who is named first, does more in a second."""


_POOL, _NO_RESET = "asyncpg's pool, structs", "asyncpg's pool without its reset query"
_PSYCOPG, _TENANT = "psycopg's pool, binary, structs", "asyncpg's pool, a transaction and set_config"

_COMPARISONS: Final = (
    ("point-read/1", "asyncpg-pool", _POOL),
    ("point-read/1", "asyncpg-no-reset", _NO_RESET),
    ("point-read/1", "asyncpg-held", "a held asyncpg connection, structs: the limit"),
    ("point-read/1", "plainsql-unjoined", "itself with autobatching off"),
    ("point-read/8", "asyncpg-pool", _POOL),
    ("point-read/8", "asyncpg-no-reset", _NO_RESET),
    ("point-read/64", "asyncpg-pool", _POOL),
    ("point-read/64", "asyncpg-no-reset", _NO_RESET),
    ("point-read/64", "any-loader", "a loader by hand, = any($1)"),
    ("point-read/64", "sqlalchemy-core", "SQLAlchemy Core"),
    ("point-read/256", "asyncpg-pool", _POOL),
    ("point-read/256", "asyncpg-no-reset", _NO_RESET),
    ("point-read/256", "any-loader", "a loader by hand, = any($1)"),
    ("rows/50", "asyncpg-pool", _POOL),
    ("rows/50", "psycopg", _PSYCOPG),
    ("rows/1000", "asyncpg-pool", _POOL),
    ("rows/1000", "psycopg", _PSYCOPG),
    ("rows/1000", "asyncpg-records", "asyncpg's pool, bare records"),
    ("batch-read/100", "asyncpg-pool", "asyncpg's fetchmany, structs"),
    ("batch-read/100", "any-loader", "one = any($1) by hand"),
    ("tenant-read/1", "asyncpg-pool", _TENANT),
    ("tenant-read/1", "asyncpg-no-reset", f"{_TENANT}, no reset"),
    ("tenant-read/64", "asyncpg-pool", _TENANT),
    ("tenant-read/64", "asyncpg-no-reset", f"{_TENANT}, no reset"),
    ("tenant-request/1", "asyncpg-pool", _TENANT),
    ("tenant-same/1", "asyncpg-pool", _TENANT),
    ("mixed/64", "asyncpg-pool", _POOL),
    ("mixed/64", "asyncpg-no-reset", _NO_RESET),
    ("search/1", "asyncpg-pool", _POOL),
    ("search/60", "asyncpg-pool", _POOL),
    ("search/60", "plainsql-unjoined", "itself, each call alone"),
    ("search-burst/60", "plainsql-one-by-one", "itself, one by one"),
    ("insert/1", "asyncpg-pool", "asyncpg's pool"),
    ("insert/1", "asyncpg-no-reset", _NO_RESET),
    ("bulk-insert", "asyncpg-pool", "asyncpg's copy of ready tuples"),
    ("bulk-insert", "psycopg", "psycopg's binary copy of ready tuples"),
    ("columns/1000", "asyncpg-pool", "asyncpg's records turned into Arrow"),
    ("columns/1000", "adbc", "ADBC"),
    ("matrix", "plainsql-rows", "its rows and np.stack"),
    ("matrix", "adbc", "ADBC"),
    ("stream", "asyncpg-pool", "asyncpg's cursor, structs"),
    ("stream", "psycopg", "psycopg's server-side cursor, binary, structs"),
    ("stream", "asyncpg-records", "asyncpg's cursor, bare records"),
    ("network-point-read/1", "asyncpg-pool", _POOL),
    ("network-point-read/1", "asyncpg-no-reset", _NO_RESET),
    ("network-point-read/64", "asyncpg-pool", _POOL),
    ("network-rows/1000", "asyncpg-pool", _POOL),
    ("network-tenant-read/1", "asyncpg-pool", _TENANT),
    ("network-mixed/64", "asyncpg-pool", _POOL),
)


def headlines(measured: Sequence[Measured]) -> list[Headline]:
    """Return plainsql's ratio to the other side of each comparison, where both were measured.

    After these come what asyncpg's pool gains without its reset query, which plainsql has not to its credit;
    and what plainsql does without its compiled part, in each case.
    """
    found = [
        headline
        for case, other, text in _COMPARISONS
        for headline in _compare(measured, case, "plainsql", other, f"against {text}")
    ]
    found += _compare(
        measured,
        "point-read/1",
        "asyncpg-no-reset",
        "asyncpg-pool",
        "asyncpg's pool without its reset, with it",
    )
    for one in measured:
        for mine, other, text in (
            ("plainsql", "plainsql-not-compiled", "compiled, against not compiled"),
            ("plainsql-not-compiled", "plainsql-before", "not compiled, against before"),
        ):
            found += _compare([one], one.case, mine, other, text)
    return found


def _compare(measured: Sequence[Measured], case: str, mine: str, other: str, text: str) -> Iterator[Headline]:
    for one in measured:
        ours, theirs = one.rates(mine), one.rates(other)
        if one.case == case and ours and theirs:
            yield Headline(f"{one.title}, {text}", one.loop, ratio(ours, theirs))
