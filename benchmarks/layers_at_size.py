"""The ten most used operations of the marketplace on a database of a million messages.

    python -m benchmarks.layers_at_size --messages 1000000 --json

It is not a comparison: it shows whether an operation is as fast on a million messages as on ten thousand.
Each runs on rows chosen at random, the same for the same seed, on one connection, one call after the other,
with fsync off: the time is PostgreSQL's and plainsql's, not a disk's. The writes of an operation stay.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import psycopg
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

import plainsql
from benchmarks.database import SETTINGS
from benchmarks.machine import Machine, describe_machine
from plainsql import embedded, migrate
from plainsql.layers.files import migrations_folder
from plainsql.layers.marketplace import buyers, conversations, messages, products, reports

__all__ = ["CALLS", "measure", "print_operations"]

CALLS = 400
WARM_UP = 40
_SEED = 20261121


class Operation(msgspec.Struct):
    """The times of the calls of one operation, in milliseconds."""

    name: str
    calls: int
    median_ms: float
    p95_ms: float
    worst_ms: float


class Results(msgspec.Struct):
    """One run."""

    machine: Machine
    messages: int
    filled_in: float
    """Seconds."""
    operations: list[Operation]


Call = Callable[[plainsql.Database, random.Random], Awaitable[object]]


@dataclass(frozen=True)
class Size:
    """The number of rows of each kind; their ids are 1 to that number."""

    messages: int

    @property
    def conversations(self) -> int:
        return self.messages // 10

    @property
    def products(self) -> int:
        return self.messages // 20

    buyers = products


FILL = """
set session_replication_role = replica;
insert into marketplace.buyers (wallapop_user_id, username, is_verified, created_at)
select 'u' || n, 'buyer' || n, n % 3 = 0, now() - n % 730 * interval '1 day'
from generate_series(1, {buyers}) as n;
insert into marketplace.products (
  wallapop_id, title, price, status, category, condition, listed_at, sold_at, sold_price, created_at
)
select
  'p' || n, 'Product ' || n, n * 7919 % 100000 / 100.0,
  (case when n % 2 = 0 then 'SOLD' else 'AVAILABLE' end)::marketplace.product_status,
  'category ' || n * 31 % 20, 'good', now() - n % 730 * interval '1 day',
  case when n % 2 = 0 then now() - n % 730 * interval '1 day' + n % 500 * interval '1 hour' end,
  case when n % 2 = 0 then n * 7919 % 100000 / 110.0 end,
  now() - n % 730 * interval '1 day' - n % 86400 * interval '1 second'
from generate_series(1, {products}) as n;
insert into marketplace.conversations (
  wallapop_chat_id, product_id, buyer_id, status, message_count, last_message_at, created_at, updated_at
)
select
  'c' || n, n % {products} + 1, n * 13 % {buyers} + 1,
  (case when n % 20 = 0 then 'ACTIVE' else 'CANCELLED' end)::marketplace.conversation_status,
  10, now() - n % 730 * interval '1 day', now() - n % 730 * interval '1 day',
  now() - n % 730 * interval '1 day' + n % 48 * interval '1 hour'
from generate_series(1, {conversations}) as n;
insert into marketplace.messages (
  wallapop_message_id, conversation_id, buyer_id, content, message_type, is_read, is_processed, created_at
)
select
  case when n % 2 = 0 then 'm' || n end,
  n % {conversations} + 1,
  case when n % 2 = 0 then n % {conversations} * 13 % {buyers} + 1 end,
  'What is said in message ' || n,
  (case when n % 2 = 0 then 'USER_MESSAGE' else 'BOT_MESSAGE' end)::marketplace.message_type,
  true,
  n % 100 <> 0,
  now() - n % {conversations} % 730 * interval '1 day' + n / {conversations} * interval '7 minutes'
from generate_series(1, {messages}) as n;
"""

app = App(name="layers_at_size", help="The marketplace's ten most used operations at size.", version_flags=[])


@app.default
def main(
    *,
    messages: int = 1_000_000,
    calls: int = CALLS,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Fill a scratch server, time ten operations, print a table.

    Parameters
    ----------
    messages
        How many there are; a tenth as many conversations, a twentieth as many products and buyers.
    calls
        How many calls of each operation are timed.
    json
        Print what was measured as JSON, and nothing else.
    """
    if messages < 1000 or calls < 1:
        print("expected at least 1000 messages and 1 call", file=sys.stderr)
        return 2
    results = measure(messages, calls)
    if json:
        print(msgspec.json.format(msgspec.json.encode(results), indent=1).decode())
    else:
        print_operations(Console(highlight=False, width=None if sys.stdout.isatty() else 120), results)
    return 0


def measure(messages: int, calls: int = CALLS) -> Results:
    """Make a scratch server, fill it, and time the operations on it."""
    size = Size(messages)
    began = time.perf_counter()
    with _filled(size) as (url, version):
        filled_in = time.perf_counter() - began
        timed = asyncio.run(_time_all(url, size, calls))
    return Results(describe_machine(version, ["asyncpg"]), messages, filled_in, timed)


@contextmanager
def _filled(size: Size) -> Iterator[tuple[str, str]]:
    with embedded.start(scratch=True, settings=SETTINGS) as server:
        migrate.apply(server.url(), migrations_folder("marketplace").parent, layers=["marketplace"])
        with psycopg.connect(server.url(), autocommit=True) as connection:
            text = FILL.format(
                messages=size.messages,
                conversations=size.conversations,
                products=size.products,
                buyers=size.buyers,
            )
            connection.execute(text.encode())
            connection.execute("vacuum (analyze, freeze)")
        yield server.url(), server.version


def _calls(size: Size) -> dict[str, Call]:
    """The ten, each with arguments of its own for every call."""

    def talk(chance: random.Random) -> int:
        return chance.randint(1, size.conversations)

    def product(chance: random.Random) -> int:
        return chance.randint(1, size.products)

    def buyer(chance: random.Random) -> int:
        return chance.randint(1, size.buyers)

    def category(chance: random.Random) -> str:
        return f"category {chance.randint(0, 19)}"

    async def listing(db: plainsql.Database, chance: random.Random) -> object:
        low = Decimal(chance.randint(0, 900))
        return await products.list_available(
            db, category=category(chance), min_price=low, max_price=low + 100, order="cheapest", limit=20
        )

    return {
        "messages.append": lambda db, chance: messages.append(
            db, conversation_id=talk(chance), content="¿Sigue disponible?"
        ),
        "messages.recent": lambda db, chance: messages.recent(db, conversation_id=talk(chance)),
        "messages.history": lambda db, chance: messages.history(db, conversation_id=talk(chance)),
        "messages.claim_unprocessed": lambda db, _: messages.claim_unprocessed(db, limit=10),
        "conversations.list_active": lambda db, _: conversations.list_active(db),
        "conversations.for_buyer": lambda db, chance: conversations.for_buyer(db, buyer_id=buyer(chance)),
        "products.get_by_id": lambda db, chance: products.get_by_id(db, id=product(chance)),
        "products.list_available": listing,
        "products.bump_views": lambda db, chance: products.bump_views(db, id=product(chance)),
        "buyers.create_or_update": lambda db, chance: buyers.create_or_update(
            db, wallapop_user_id=f"u{buyer(chance)}", username="ana"
        ),
    }


async def _time_all(url: str, size: Size, calls: int) -> list[Operation]:
    async with plainsql.connect(url, max_size=1) as db:
        timed = [await _time(name, call, db, calls) for name, call in _calls(size).items()]
        day: Any = await _middle(url)
        # Once a day, and so not among the ten; but it is to stay within a moment.
        report: Call = lambda db, _: reports.daily(db, day=day, time_zone="UTC")  # noqa: E731
        timed.append(await _time("reports.daily", report, db, max(calls // 20, 5)))
    return timed


async def _time(name: str, call: Call, db: plainsql.Database, calls: int) -> Operation:
    chance = random.Random(_SEED)
    took = []
    for _ in range(min(WARM_UP, calls) + calls):
        began = time.perf_counter()
        result: Any = await call(db, chance)
        took.append((time.perf_counter() - began) * 1000)
        if name == "messages.claim_unprocessed":
            # Not timed: messages that are never processed stay at the head of the queue, and every claim
            # skips them.
            await messages.mark_processed.batch(db, [{"id": message.id} for message in result])
    took = took[-calls:]
    took.sort()
    return Operation(
        name, calls, statistics.median(took), took[min(int(len(took) * 0.95), len(took) - 1)], took[-1]
    )


async def _middle(url: str) -> Any:
    """A day in the middle of the two years."""
    async with plainsql.connect(url) as db, db.acquire() as connection:
        return await connection.fetchval("select current_date - 365")


def print_operations(console: Console, results: Results) -> None:
    table = Table(
        title=f"marketplace, {results.messages:,} messages, one call after the other", title_justify="left"
    )
    table.add_column("operation")
    for head in ("calls", "median ms", "p95 ms", "worst ms"):
        table.add_column(head, justify="right")
    for one in results.operations:
        numbers = (f"{value:.2f}" for value in (one.median_ms, one.p95_ms, one.worst_ms))
        table.add_row(one.name, f"{one.calls:,}", *numbers)
    console.print(table)
    console.print(
        f"filled in {results.filled_in:.0f} s; {results.machine.cpu}, PostgreSQL {results.machine.postgresql}"
    )


if __name__ == "__main__":
    sys.exit(app())
