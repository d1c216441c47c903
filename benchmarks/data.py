"""The data of every contender: the row types, the peers' SQL, the sample data."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec

__all__ = [
    "ADD_VISIT",
    "COLUMNS",
    "CONTACT_COLUMNS",
    "COUNT_LEADS",
    "DIMENSIONS",
    "EXPORT",
    "GET_CONTACT",
    "GET_LEAD",
    "GET_LEADS",
    "GET_NOTE",
    "GET_SCORE",
    "HAS_LEAD",
    "INSERT_ARRIVAL",
    "LIST_LEADS",
    "LIST_VECTORS",
    "NOTES_PER_TENANT",
    "NOTE_COLUMNS",
    "PASSAGES",
    "SEARCH",
    "SEARCHES",
    "SET_TENANT",
    "TENANTS",
    "VISITED",
    "Contact",
    "Lead",
    "Note",
    "Passage",
    "arrivals",
    "lead",
    "make_passages",
    "note",
    "random_ids",
    "search",
    "values",
    "vector",
    "vector_text",
]

COLUMNS = ("id", "name", "email", "score", "created_at")
NOTE_COLUMNS = ("id", "title", "body", "created_at")
CONTACT_COLUMNS = ("name", "email")


class Lead(msgspec.Struct, frozen=True, gc=False):
    """The row type of every contender that does not bring its own: the cheapest there is, as plainsql's."""

    id: int
    name: str
    email: str
    score: int
    created_at: datetime


class Note(msgspec.Struct, frozen=True, gc=False):
    id: int
    title: str
    body: str
    created_at: datetime


class Contact(msgspec.Struct, frozen=True, gc=False):
    name: str
    email: str


class Passage(msgspec.Struct, frozen=True, gc=False):
    id: int
    distance: float


# The statements of benchmarks/sql, for the contenders that take text with $1.

GET_LEAD = "select l.id, l.name, l.email, l.score, l.created_at from bench.leads as l where l.id = $1"
LIST_LEADS = (
    "select l.id, l.name, l.email, l.score, l.created_at from bench.leads as l"
    " where l.id > $1 order by l.id limit $2"
)
EXPORT = "select l.id, l.name, l.email, l.score, l.created_at from bench.leads as l order by l.id"
GET_NOTE = "select n.id, n.title, n.body, n.created_at from bench.notes as n where n.id = $1"
SET_TENANT = "select set_config('app.jwt_tenant', $1, true)"
INSERT_ARRIVAL = (
    "insert into bench.arrivals (name, email, score, created_at) values ($1, $2, $3, $4) returning id"
)

GET_LEADS = (
    "select l.id, l.name, l.email, l.score, l.created_at from bench.leads as l where l.id = any($1::bigint[])"
)
GET_CONTACT = "select l.name, l.email from bench.leads as l where l.id = $1"
GET_SCORE = "select l.score from bench.leads as l where l.id = $1"
HAS_LEAD = "select exists (select from bench.leads as l where l.id = $1)"
COUNT_LEADS = "select count(*) from bench.leads as l where l.id between $1 and $2"
ADD_VISIT = "update bench.visits as v set visits = v.visits + 1 where v.id = $1 returning v.visits"
LIST_VECTORS = "select v.id, v.embedding from bench.vectors as v order by v.id limit $1"

SEARCH = """
with nearest as (
  select p.id, p.embedding <=> $1::text::vector as distance
  from bench.passages as p
  where p.bucket < $2
  order by p.embedding <=> $1::text::vector
  limit $3
)
select n.id, n.distance from nearest as n order by n.distance + 0, n.id
"""

PASSAGES = 20_000
"""Rows of bench.passages at most; their vectors lie in clusters, as those of texts do."""
SEARCHES = 500
"""Different vectors to search for."""
_DIMENSIONS = 64
_CLUSTERS = 100

VISITED = 10_000
"""Rows of bench.visits at most: enough that two writers seldom want the same one."""
DIMENSIONS = 256
"""Dimensions of the vectors that are read as one matrix."""

TENANTS = tuple(uuid.UUID(int=number) for number in range(1, 101))
NOTES_PER_TENANT = 100

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def random_ids(count: int, most: int, seed: int) -> list[int]:
    """Return ``count`` numbers of 1..``most``, the same for the same seed."""
    choose = random.Random(seed)
    return [choose.randint(1, most) for _ in range(count)]


def arrivals(count: int) -> list[tuple[int, str, str, int, datetime]]:
    """Return rows to insert, with ids from 1 on, as tuples in the order of ``COLUMNS``."""
    return [
        (
            number,
            f"Arrival {number}",
            f"arrival{number}@example.com",
            number % 1000,
            _BEGINNING + timedelta(seconds=number),
        )
        for number in range(1, count + 1)
    ]


def lead(id: int) -> tuple[Any, ...]:
    """Return what bench.leads holds under this id, in the order of ``COLUMNS``."""
    return (id, f"Lead {id}", f"lead{id}@example.com", id % 1000, _BEGINNING + timedelta(seconds=id))


def note(tenant: uuid.UUID, id: int) -> tuple[Any, ...]:
    """Return what the tenant has in bench.notes under this id, in the order of ``NOTE_COLUMNS``."""
    title = f"Note {id} of tenant {tenant.int}"
    return (id, title, "text " * 20, _BEGINNING + timedelta(minutes=id))


def vector(id: int) -> list[float]:
    """Return the vector that bench.vectors holds under this id: numbers that a ``real`` holds exactly."""
    return [(id * 31 + number * 17) % 1024 / 1024 for number in range(1, DIMENSIONS + 1)]


@cache
def search(number: int) -> tuple[list[float], int]:
    """Return a vector to search for and the buckets, of 1,000, to search in: all, a tenth, or a few."""
    chance = random.Random(number)
    center = random.Random(-1 - number % _CLUSTERS)
    vector = [center.gauss(0, 1) + chance.gauss(0, 0.7) for _ in range(_DIMENSIONS)]
    return vector, (1000, 100, 3)[number % 3]


def make_passages(count: int) -> Iterator[tuple[int, int, str]]:
    """Make the rows of bench.passages: id, bucket, and the vector as text."""
    for number in range(count):
        vector, _ = search.__wrapped__(SEARCHES + number)
        yield number, number * 7919 % 1000, vector_text(vector)


def vector_text(vector: list[float]) -> str:
    """Return a vector as PostgreSQL reads it."""
    return f"[{','.join(f'{x:.6g}' for x in vector)}]"


def values(row: Any, columns: tuple[str, ...] = COLUMNS) -> tuple[Any, ...]:
    """Return a contender's row as plain values, whether it has attributes or keys."""
    if hasattr(row, columns[0]):
        return tuple(getattr(row, column) for column in columns)
    return tuple(row[column] for column in columns)
