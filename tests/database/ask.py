"""Queries that are written where a test needs them."""

from __future__ import annotations

from typing import Any

import plainsql
from plainsql.database.caching.cached_queries import CachedQueries
from plainsql.database.execution.scheduler import Scheduler
from plainsql.query import Binder, CountQuery, ManyQuery, OneQuery, QueryFacts

__all__ = [
    "READS",
    "SELECT_1",
    "WRITES",
    "all_text",
    "cached_queries",
    "count",
    "is_at_rest",
    "many",
    "one",
    "schedulers",
]

READS = QueryFacts(read_only=True, session_clean=True)
WRITES = QueryFacts(session_clean=True)


def one(sql: str, *names: str) -> OneQuery[..., Any]:
    return OneQuery("test.one", "sql/test/one.sql", 1, sql, Binder(names, {}, {}, None), object)


def many(sql: str, *names: str) -> ManyQuery[..., Any]:
    return ManyQuery("test.many", "sql/test/many.sql", 1, sql, Binder(names, {}, {}, None), object)


def count(sql: str, *names: str) -> CountQuery[...]:
    return CountQuery("test.count", "sql/test/count.sql", 1, sql, Binder(names, {}, {}, None), int)


SELECT_1 = one("select 1")


def all_text(error: BaseException | None) -> str:
    """Everything that an error and those behind it hold, whether a traceback shows it or not."""
    text = ""
    while error is not None:
        text += "\n".join([str(error), repr(error), *getattr(error, "__notes__", [])])
        error = error.__cause__ or error.__context__
    return text


def schedulers(db: plainsql.Database) -> list[Scheduler]:
    """The schedulers of a database's concurrent reads; none if these are never sent together."""
    autobatch = db._state.autobatch
    return [] if autobatch is None else list(autobatch.schedulers.values())


def is_at_rest(db: plainsql.Database) -> bool:
    """Whether no read of a database is in progress, alone or with others."""
    shared = db._state.shared
    return (
        db.stats().in_use == 0
        and all(s.at_rest and not (s._groups or s._sent) for s in schedulers(db))
        and (shared is None or shared.scheduler.at_rest)
    )


def cached_queries(db: plainsql.Database) -> CachedQueries:
    """The queries of a database as its cache has them."""
    cached = db._state.cached
    assert cached is not None
    return cached.queries
