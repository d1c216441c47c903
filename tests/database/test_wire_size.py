"""Arguments never take more on the wire than the estimate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import asyncpg
import msgspec
import pytest

import plainsql
from plainsql.database.execution.pipelined_statement import MAX_PIPELINE_BYTES, is_one_piece, pieces
from plainsql.database.execution.wire_size import UNBOUNDED, wire_size
from plainsql.query import Binder, ManyQuery
from plainsql.types import Opaque
from plainsql.vector import SparseVector, Vector
from tests.proxy import open_proxy

BitString: Any = asyncpg.BitString  # its annotations are wrong


class Note(msgspec.Struct):
    text: str
    numbers: list[float]


@dataclass
class Spot:
    x: float
    label: str


VALUES: list[tuple[str, Any]] = [
    ("int4", 2**31 - 1),
    ("int8", -(2**63)),
    ("numeric", 10**4000),
    ("numeric", Decimal("1." + "7" * 500)),
    ("numeric", Decimal("1e-300")),
    ("float8", math.pi),
    ("bool", True),
    ("text", "x" * 1000),
    ("text", "ü" * 1000),
    ("text", "\U0001f600" * 1000),
    ("bytea", b"\0\xff" * 500),
    ("bytea", bytearray(700)),
    ("bytea", memoryview(bytes(700))),
    ("uuid", UUID(int=7)),
    ("date", date(2026, 1, 1)),
    ("time", time(12, 30)),
    ("timestamptz", datetime(2026, 1, 1, tzinfo=UTC)),
    ("interval", timedelta(days=1, seconds=3)),
    ("jsonb", {"a": ["\u0001" * 200, 1.5, None, True], "ü" * 50: [{"b": 1e-300}] * 20}),
    ("jsonb", '\u0001"\\' * 300),
    ("jsonb[]", [Opaque({"a": "\u0001" * 100}), None] * 10),
    ("int4[]", list(range(500))),
    ("int4[]", [[1, 2], [3, 4]] * 50),
    ("text[]", ["ü" * 30, None, ""] * 40),
    ("numeric[]", [Decimal("1.5")] * 40),
    ("vector", Vector([0.1] * 300)),
    ("vector", [0.1] * 300),
    ("halfvec", [0.1] * 300),
    ("sparsevec", SparseVector(dict.fromkeys(range(200), 0.5), 1000)),
    ("inet", ip_address("2001:db8::1")),
    ("int4range", asyncpg.Range(1, 5)),
    ("point", asyncpg.Point(1, 2)),
    ("bit varying", BitString("101" * 200)),
    ("bool", None),
    ("int4", -1),
    ("numeric", -(10**9)),
    ("numeric", Decimal("NaN")),
    ("jsonb", -7),
    ("jsonb", [False, True, None] * 200),
    ("jsonb", b"\xff" * 3000),
    ("jsonb", [b"\xff" * 100] * 30),
    ("jsonb", [UUID(int=7), datetime(2026, 1, 1, 1, 1, 1, 1, tzinfo=UTC), timedelta(days=9, seconds=3)] * 50),
    ("jsonb", Note("ü\u0001" * 500, [1.5] * 50)),
    ("jsonb", [Note("x", [])] * 100),
    ("jsonb", Spot(1.5, "ü" * 300)),
    ("text[]", {"ü" * 100, "x"}),
    ("numrange", asyncpg.Range(Decimal("1." + "7" * 500), Decimal(10) ** 300)),
    ("tstzrange", asyncpg.Range(datetime(2026, 1, 1, tzinfo=UTC), None, empty=False)),
    ("int4range[]", [asyncpg.Range(1, 5)] * 40),
    ("cidr", ip_network("2001:db8::/64")),
    ("inet[]", [ip_address("2001:db8::1")] * 40),
    ("polygon", asyncpg.Polygon(*((n, n) for n in range(50)))),
    ("path", asyncpg.Path(*((n, n) for n in range(50)))),
    ("box", asyncpg.Box((1, 2), (3, 4))),
    ("circle", asyncpg.Circle(asyncpg.Point(1, 2), 3)),
    ("line", asyncpg.Line(1, 2, 3)),
    ("lseg", asyncpg.LineSegment((1, 2), (3, 4))),
]


@pytest.mark.parametrize(("type", "value"), VALUES, ids=[f"{n}-{type}" for n, (type, _) in enumerate(VALUES)])
async def test_the_bytes_that_are_sent_are_not_more(database_url: str, type: str, value: Any) -> None:
    host = parse_qs(urlsplit(database_url).query)["host"][0]
    name = urlsplit(database_url).path[1:]
    # The bytes around the value are sent with a null as well.
    query: ManyQuery[..., Any] = ManyQuery(
        "t.size", "t.sql", 1, f"select 1 where :v::{type} is null", Binder(("v",), {}, {}, None), int
    )
    async with open_proxy(Path(host) / ".s.PGSQL.5432") as proxy:
        async with plainsql.connect(database_url) as direct, direct.acquire() as connection:
            await connection.execute("create extension if not exists vector")
        async with plainsql.connect(proxy.url(name), max_size=1, min_size=1) as db, db.transaction() as tx:

            async def sent(argument: Any) -> int:
                before = proxy.to_server.bytes
                await query(tx, v=argument)
                return proxy.to_server.bytes - before

            await sent(None)
            await sent(value)
            assert await sent(value) - await sent(None) <= wire_size((value,))


def test_of_an_unknown_value_nothing_is_taken_for_granted() -> None:
    assert wire_size((object(),)) >= UNBOUNDED
    endless: list[Any] = []
    endless.append(endless)
    assert wire_size((endless,)) >= UNBOUNDED


@pytest.mark.parametrize("value", [value for _, value in VALUES], ids=lambda value: type(value).__name__)
def test_of_each_kind_of_value_a_bound_is_known(value: Any) -> None:
    """Without one a batch of them would go three at a time."""
    assert wire_size((value,)) < UNBOUNDED


def test_pieces_are_all_the_calls_in_order_and_small() -> None:
    for sizes in ([10] * 5000, [50_000] * 20, [10, 500_000] * 10, [90_000, 1, 1, 1, 1], [1], []):
        calls = [(number, "x" * size) for number, size in enumerate(sizes)]
        together: list[Any] = []
        for at, piece in pieces(calls):
            assert at == len(together)
            assert len(piece) <= 3 or sum(map(wire_size, piece)) <= MAX_PIPELINE_BYTES
            together += piece
        assert together == calls
        assert is_one_piece(calls) == (len(list(pieces(calls))) <= 1)
