"""All kinds of calls, each with a token or a fact by which its answer is known for its own."""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from asyncpg import exceptions

import plainsql
from benchmarks.fault_soak.history import ACKNOWLEDGED, REFUSED, UNKNOWN, History
from benchmarks.fault_soak.queries import soak as queries

__all__ = [
    "EXPECTED_CLASSES",
    "FACTS",
    "TENANTS",
    "Caller",
    "Limits",
    "Observed",
    "WrongAnswerError",
    "expect",
    "fact",
    "listen",
    "notify",
    "outcome_of",
]

FACTS = 1000
TENANTS = 10
EXPECTED_CLASSES = ("08", "53", "57", "25006", "40001")
"""SQLSTATEs: connections, resources, an operator's intervention, a read-only server, a standby's conflict."""
_CANCELLED = 0.1
"""The share of calls that their callers cancel soon."""


class WrongAnswerError(Exception):
    """An answer that is not this call's."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The time limits of a ``Database``, in seconds, and what a call may take more on a busy machine."""

    acquire: float = 1.0
    connect: float = 1.0
    statement: float = 1.0
    grace: float = 2.0

    def of(self, statements: int) -> float:
        """Return what a call of so many statements may take: a read is run again once if its connection is
        lost.
        """
        again = 2
        return again * (self.acquire + self.connect) + (statements + again) * self.statement + self.grace


@dataclass(slots=True)
class Observed:
    """The observations of all callers together."""

    history: History
    calls: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    cancelled: int = 0
    wrong_answers: int = 0
    unexpected_errors: int = 0
    late: int = 0
    """Calls that took longer than their limits."""
    longest_over_limit_s: float = -60.0
    """The largest time of a call less its limit; below zero if all kept theirs."""
    overlapping_locks: int = 0
    examples: list[str] = field(default_factory=list)
    lag_s: float = 0.0
    """The delay of the event loop until now, for which no call is to blame."""
    moved: float = 0.0
    """The time when the address moved to the other server, which does not know the first one's locks."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """For the threads of the scripts."""
    _set_id: int = 0

    def next_set(self, size: int) -> int:
        set_id = self._set_id
        self._set_id += size
        return set_id

    def note(self, text: str) -> None:
        if len(self.examples) < 20:
            self.examples.append(text)

    async def watch_loop(self) -> None:
        """Add up what the event loop is late by."""
        step = 0.02
        while True:
            began = time.perf_counter()
            await asyncio.sleep(step)
            self.lag_s += max(time.perf_counter() - began - step, 0.0)


def is_expected(error: BaseException) -> bool:
    """Report whether faults like these may cause an error."""
    if isinstance(error, exceptions.PostgresError):
        return (getattr(error, "sqlstate", None) or "").startswith(EXPECTED_CLASSES)
    if isinstance(error, plainsql.PoolTimeoutError | plainsql.ConnectError | OSError):
        return True  # TimeoutError is an OSError
    return isinstance(error, exceptions.InterfaceError) and not isinstance(error, ValueError)


def outcome_of(error: BaseException) -> int:
    """Report, from a write's error, whether it was executed."""
    if isinstance(error, plainsql.PoolTimeoutError | plainsql.ConnectError):
        return REFUSED
    notes = " ".join(getattr(error, "__notes__", ()))
    if "was not executed" in notes or "nothing of it was done" in notes:
        return REFUSED
    if isinstance(error, exceptions.PostgresError):
        state = getattr(error, "sqlstate", None) or ""
        return UNKNOWN if state.startswith(("08", "57P")) else REFUSED
    return UNKNOWN


class Caller:
    """One task that makes calls, one after the other."""

    def __init__(self, db: plainsql.Database, observed: Observed, limits: Limits, seed: int) -> None:
        self._db = db
        self._observed = observed
        self._limits = limits
        self._random = random.Random(seed)
        self._kinds: list[tuple[Callable[[], Awaitable[None]], int, int]] = [
            # What is called, how often, and how many statements it is.
            (self.read, 20, 1),
            (self.read_some, 8, 1),
            (self.echo, 8, 1),
            (self.echo_late, 2, 1),
            (self.read_as_tenant, 8, 2),
            (self.batch_of_reads, 4, 1),
            (self.put, 12, 1),
            (self.put_back, 6, 1),
            (self.batch_of_writes, 3, 3),
            (self.large_batch, 1, 3),
            (self.execute_many, 3, 3),
            (self.transaction, 6, 6),
            (self.stream, 1, 8),
            (self.copy_in, 2, 3),
            (self.copy_out, 1, 3),
            (self.lock, 2, 3),
        ]

    async def run(self, ends_at: float) -> None:
        """Make calls until the moment of the loop's clock."""
        loop = asyncio.get_running_loop()
        weights = [weight for _, weight, _ in self._kinds]
        while loop.time() < ends_at:
            [(call, _, statements)] = self._random.choices(self._kinds, weights)
            await self._observe(call, self._limits.of(statements))
            await asyncio.sleep(0)

    async def _observe(self, call: Callable[[], Awaitable[None]], limit_s: float) -> None:
        observed, name = self._observed, call.__name__
        began, lag = time.perf_counter(), observed.lag_s
        try:
            if self._random.random() < _CANCELLED:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._random.uniform(0.0, 0.02)) as given_up:
                        await call()
                observed.cancelled += given_up.expired()
            else:
                await call()
            observed.calls[name] += 1
        except WrongAnswerError as error:
            observed.wrong_answers += 1
            observed.note(f"{name}: {error}")
        except Exception as error:  # noqa: BLE001 (it is judged)
            state = getattr(error, "sqlstate", None)
            observed.errors[f"{type(error).__name__} {state}" if state else type(error).__name__] += 1
            if not is_expected(error):
                observed.unexpected_errors += 1
                observed.note(f"{name}: {type(error).__name__}: {error}")
        over = time.perf_counter() - began - (observed.lag_s - lag) - limit_s
        observed.longest_over_limit_s = max(observed.longest_over_limit_s, over)
        if over > 0:
            observed.late += 1
            observed.note(f"{name}: {over + limit_s:.2f} s, at most {limit_s:.2f} s")

    @contextmanager
    def _written(self, size: int = 1) -> Iterator[list[queries.PutParameters]]:
        """Hand out the tokens of a write, and take down what became of it."""
        with self._observed.lock:
            set_id = self._observed.next_set(size)
        outcome = UNKNOWN
        try:
            yield [
                {"token": token, "set_id": set_id, "set_size": size} for token in range(set_id, set_id + size)
            ]
            outcome = ACKNOWLEDGED
        except Exception as error:
            outcome = outcome_of(error)
            raise
        finally:
            with self._observed.lock:
                self._observed.history.add(outcome, set_id, size)

    # Reads ----------------------------------------------------------------------------------------------

    async def read(self) -> None:
        number = self._random.randrange(FACTS)
        expect(await queries.get_fact(self._db, id=number), queries.Fact(number, fact(number)))

    async def read_some(self) -> None:
        first = self._random.randrange(FACTS)
        found = await queries.list_facts_from(self._db, first=first)
        expect(found, [queries.Fact(n, fact(n)) for n in range(first, min(first + 5, FACTS))])

    async def echo(self) -> None:
        token = self._random.getrandbits(62)
        expect(await queries.echo(self._db, token=token), token)

    async def echo_late(self) -> None:
        token = self._random.getrandbits(62)
        seconds = self._random.choice((0.01, 0.05, 3.0))  # the last is over the limit
        expect(await queries.echo_late(self._db, token=token, seconds=seconds), token)

    async def read_as_tenant(self) -> None:
        tenant = f"tenant-{self._random.randrange(TENANTS)}"
        found = await queries.list_secrets(self._db.tenant(tenant), first=0)
        expect(found, [queries.Secret(tenant, n) for n in range(1, 6)])

    async def batch_of_reads(self) -> None:
        numbers = [self._random.randrange(FACTS) for _ in range(20)]
        found = await queries.get_fact.batch(self._db, [{"id": n} for n in numbers])
        expect(found, [queries.Fact(n, fact(n)) for n in numbers])

    async def stream(self) -> None:
        number = 0
        async for row in queries.export_facts.stream(self._db):
            expect(row, queries.Fact(number, fact(number)))
            number += 1
        expect(number, FACTS)

    async def copy_out(self) -> None:
        output = io.BytesIO()
        await self._db.copy_out(queries.export_facts, output, format="csv", header=False)
        expect(output.getvalue().decode().split(), [f"{n},{fact(n)}" for n in range(FACTS)])

    # Writes ---------------------------------------------------------------------------------------------

    async def put(self) -> None:
        with self._written() as [row]:
            expect(await queries.put(self._db, **row), 1)

    async def put_back(self) -> None:
        with self._written() as [row]:
            expect(await queries.put_back(self._db, **row), row["token"])

    async def batch_of_writes(self) -> None:
        with self._written(10) as rows:
            expect(await queries.put_back.batch(self._db, rows), [row["token"] for row in rows])

    async def large_batch(self) -> None:
        """More bytes than the driver sends in one go."""
        with self._written(6000) as rows:
            expect(await queries.put.batch(self._db, rows), [1] * len(rows))

    async def execute_many(self) -> None:
        with self._written(10) as rows:
            await queries.put.execute_many(self._db, rows)

    async def transaction(self) -> None:
        """A write, one that a savepoint takes back, and another."""
        taken_back = False
        with self._written(2) as [one, other], self._never_there() as [third]:
            async with self._db.transaction() as tx:
                expect(await queries.put(tx, **one), 1)
                with suppress(_TakenBackError):
                    async with tx.transaction() as savepoint:
                        expect(await queries.put(savepoint, **third), 1)
                        taken_back = True
                        raise _TakenBackError
                expect(await queries.put_back(tx, **other), other["token"])
        assert taken_back

    @contextmanager
    def _never_there(self) -> Iterator[list[dict[str, int]]]:
        with self._observed.lock:
            set_id = self._observed.next_set(1)
            self._observed.history.add(REFUSED, set_id, 1)
        yield [{"token": set_id, "set_id": set_id, "set_size": 1}]

    async def copy_in(self) -> None:
        with self._written(50) as rows:
            columns = ("token", "set_id", "set_size")
            count = await self._db.copy_in("soak.tokens", [tuple(r.values()) for r in rows], columns=columns)
            expect(count, len(rows))

    async def lock(self) -> None:
        hold = _Hold()
        async with self._db.lock("soak", wait=self._random.random() < 0.5) as held:
            if not held:
                return
            hold.began = time.perf_counter()
            await asyncio.sleep(self._random.uniform(0.0, 0.01))
            hold.ended = time.perf_counter()
        # Left without an error: the lock was held all the time.
        for other in _HOLDS:
            overlap = min(other.ended, hold.ended) - max(other.began, hold.began)
            if overlap > 0 and min(other.began, hold.began) > self._observed.moved:
                self._observed.overlapping_locks += 1
                self._observed.note(f"lock: held twice for {overlap * 1000:.1f} ms")
        _HOLDS.append(hold)


class _TakenBackError(Exception):
    """Ends a savepoint."""


@dataclass(slots=True)
class _Hold:
    began: float = 0.0
    ended: float = 0.0


_HOLDS: deque[_Hold] = deque(maxlen=100)
"""The last times that the lock was held in this process: the first caller to leave may not be the last."""


async def listen(db: plainsql.Database, observed: Observed, ends_at: float) -> None:
    """Listen until the moment, with a limit to each wait; what is sent arrives at most once, in order."""
    loop = asyncio.get_running_loop()
    while loop.time() < ends_at:
        last = -1
        try:
            async with db.listen("soak", heartbeat=0.5) as listener:
                while loop.time() < ends_at:
                    try:
                        received = await asyncio.wait_for(anext(listener), 0.1)
                    except TimeoutError:
                        continue
                    if received.gap:
                        continue
                    observed.calls["notification"] += 1
                    if int(received.payload) <= last:
                        observed.wrong_answers += 1
                        observed.note(f"listen: {received.payload} after {last}")
                    last = int(received.payload)
        except Exception as error:  # noqa: BLE001 (it is judged)
            observed.errors[type(error).__name__] += 1
            if not is_expected(error):
                observed.unexpected_errors += 1
                observed.note(f"listen: {type(error).__name__}: {error}")
            await asyncio.sleep(0.05)


async def notify(db: plainsql.Database, observed: Observed, ends_at: float) -> None:
    """Send one number after the other, until the moment."""
    loop = asyncio.get_running_loop()
    number = 0
    while loop.time() < ends_at:
        number += 1
        try:
            await queries.notify(db, number=number)
        except Exception as error:  # noqa: BLE001 (it is judged)
            if not is_expected(error):
                observed.unexpected_errors += 1
                observed.note(f"notify: {type(error).__name__}: {error}")
        await asyncio.sleep(0.01)


def fact(number: int) -> str:
    """Return the fact of a number, as the migration writes it."""
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def expect(found: Any, expected: Any) -> None:
    """Raise ``WrongAnswerError`` if an answer is not the expected one."""
    if found != expected:
        raise WrongAnswerError(f"expected {str(expected)[:200]}, got {str(found)[:200]}")
