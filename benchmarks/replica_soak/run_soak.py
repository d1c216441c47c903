"""One soak: servers, programs with sessions and readers, faults, and the verdict."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Final
from unittest import mock

import plainsql
from benchmarks.replica_soak.causal_history import Event, Read, Verdict, Write, judge
from benchmarks.replica_soak.failovers import FAILOVERS
from benchmarks.replica_soak.queries import counters
from benchmarks.replica_soak.replica_faults import FAULTS, ReplicaFaults
from benchmarks.replica_soak.servers import Addresses, start_replica
from plainsql import embedded, migrate
from plainsql.database import Call
from plainsql.database.replicas.replica import Replica
from plainsql.replication.positions import Position
from tests.pgbouncer import pgbouncer, url_through

__all__ = ["BROKEN", "Plan", "Report", "drive", "soak"]

_SYNCHRONOUS: Final = "alter system set synchronous_standby_names = 'any 1 (*)';\nselect pg_reload_conf()"
_HERE: Final = Path(__file__).parent
_WRITERS: Final = 2
_PROGRAMS: Final = 3
"""The last one only reads: no refused write shows it that the primary is another server."""
_MAX_LAG_S: Final = 0.5
_FAILOVER_S: Final = 30.0
_STATEMENT_S: Final = 2.0
_POOLED: Final = 40
"""Connections of a pooler: no program waits for one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a soak."""

    seconds: float = 60.0
    chains: int = 12
    """Sessions, each continued by its token; every second one writes."""
    readers: int = 6
    """Readers of each other kind."""
    pause: float = 1.0
    """Seconds between faults."""
    faults: tuple[str, ...] = tuple(FAULTS)
    broken: str = ""
    seed: int = 1
    pooler: bool = False
    """True if the programs reach the replicas through PgBouncer in session mode."""
    synchronous: bool = True
    """True if commits wait for a replica, when there are failovers."""

    @property
    def has_failovers(self) -> bool:
        return any(fault in FAILOVERS for fault in self.faults)


@dataclass(slots=True)
class Report:
    """The result of a soak."""

    verdict: Verdict
    synchronous: bool = False
    faults: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    """Errors that callers got, by class."""
    failed_on_replicas: int = 0
    """Reads that began on a replica and ended on the primary."""

    @property
    def is_broken(self) -> bool:
        """True if a promise was broken: a replica that commits wait for keeps what was acknowledged."""
        return bool(self.verdict.violations) or (self.synchronous and self.verdict.lost > 0)

    def as_dict(self) -> dict[str, Any]:
        verdict = self.verdict
        return {
            "reads": sum(verdict.reads.values()),
            "by_kind": dict(verdict.reads),
            "on_replicas": verdict.on_replicas,
            "writes": verdict.writes,
            "lost": verdict.lost,
            "early": verdict.early,
            "violations": dict(verdict.violations),
            "examples": verdict.examples,
            "faults": dict(self.faults),
            "errors": dict(self.errors),
            "failed_on_replicas": self.failed_on_replicas,
        }


@contextmanager
def _position_ignored() -> Iterator[None]:
    """Read from any replica, whatever it has replayed."""
    with mock.patch.object(Replica, "covers", return_value=True):
        yield


@contextmanager
def _timeline_ignored() -> Iterator[None]:
    """Compare positions of different timelines."""
    with mock.patch.object(Position, "of", lambda _, lsn: Position(1, lsn)):
        yield


BROKEN: Final[dict[str, Callable[[], Any]]] = {"position": _position_ignored, "timeline": _timeline_ignored}
"""Protocols with a fault, which the checks have to find."""


class _Soak:
    def __init__(self, plan: Plan) -> None:
        self.programs: list[plainsql.Database] = []
        self._plan = plan
        self.events: list[Event] = []
        self.errors: Counter[str] = Counter()
        self._ends = 0.0
        self._server = ""

    def ended(self) -> bool:
        """Return whether the time is up: the fault in progress is the last one."""
        return monotonic() >= self._ends

    def server_of(self, call: Call) -> None:
        """Keep the server of the call that has just ended, whose task goes on next."""
        self._server = call.server

    def options(self) -> dict[str, Any]:
        """Return the options of the programs for a primary that may be replaced."""
        found: dict[str, Any] = {"pooler": "session"} if self._plan.pooler else {}
        if self._plan.has_failovers:
            found |= {"failover_timeout": _FAILOVER_S, "statement_timeout": _STATEMENT_S}
        return found

    def tasks(self) -> list[asyncio.Task[None]]:
        plan = self._plan
        self._ends = monotonic() + plan.seconds
        work = [self._chain(chain) for chain in range(plan.chains)]
        for number in range(plan.readers):
            work += [
                self._reader("lag", -1, number),
                self._reader("own", -2, number),
                self._reader("cached", -3, number),
            ]
        return [asyncio.create_task(each) for each in work]

    async def _chain(self, chain: int) -> None:
        """Write the chain's own counter and read others', in sessions that continue one another."""
        choice = random.Random(f"{self._plan.seed}/{chain}")
        token: bytes | None = None
        value = 0
        while monotonic() < self._ends:
            at = choice.randrange(len(self.programs))
            session = self.programs[at].causal(token)
            async with session:
                for _ in range(choice.randint(1, 12)):
                    if chain % 2 == 0 and at < _WRITERS and choice.random() < 0.25:
                        value += 1
                        await self._write(session, chain, at, value)
                        key = chain
                    else:
                        key = choice.randrange(self._plan.chains)
                    form = choice.random()
                    if form < 0.05:
                        await self._stream(session, chain, at)
                    elif form < 0.1:
                        keys = [key, choice.randrange(self._plan.chains)]
                        level: Any = choice.choice([None, "repeatable read"])
                        await self._transaction(session, chain, at, keys, level)
                    else:
                        await self._read("causal", session, chain, at, key)
                if choice.random() < 0.5:
                    token = session.token  # as it is inside, where it may mean the newest
                    continue
            token = session.token

    async def _reader(self, kind: Any, chain: int, number: int) -> None:
        choice = random.Random(f"{self._plan.seed}/{kind}/{number}")
        at = number % _WRITERS
        db = self.programs[at]
        # A cache in the process knows the writes of its own program only: the readers of `own` write these.
        view = db.replica(max_lag=_MAX_LAG_S, own_writes=False) if kind == "lag" else db
        key, value = self._plan.chains + number, 0
        while monotonic() < self._ends:
            if kind == "own" and choice.random() < 0.1:
                value += 1
                await self._write(db, chain, at, value, key)
            elif kind == "lag":
                await self._read(kind, view, chain, at, choice.randrange(self._plan.chains))
            elif kind == "own":
                await self._read(kind, db, chain, at, key)
            else:
                await self._read(kind, db.replica(), chain, at, key)
            if kind == "cached" or choice.random() < 0.05:  # a stored result takes no time
                await asyncio.sleep(0.002)

    async def _write(
        self, executor: Any, chain: int, program: int, value: int, key: int | None = None
    ) -> None:
        key = chain if key is None else key
        try:
            if value % 4:
                await counters.put(executor, id=key, n=value)
            else:
                async with executor.transaction() as tx:
                    await counters.put(tx, id=key, n=value)
        except Exception as error:  # noqa: BLE001 (counted)
            self.errors[type(error).__name__] += 1
        else:
            self.events.append(Write(chain, program, key, value, monotonic()))

    async def _read(self, kind: Any, executor: Any, chain: int, program: int, key: int) -> None:
        query = {"own": counters.get_by_header, "cached": counters.get_cached}.get(kind, counters.get)
        started = monotonic()
        self._server = ""
        try:
            value = await query(executor, id=key)
        except Exception as error:  # noqa: BLE001 (counted)
            self.errors[type(error).__name__] += 1
            return
        lag = _MAX_LAG_S if kind == "lag" else 0.0
        self.events.append(Read(kind, chain, program, key, value or 0, started, self._server, lag))

    async def _stream(self, session: Any, chain: int, program: int) -> None:
        """Read all counters. The rows that came count, also of a stream that fails."""
        started = monotonic()
        self._server = ""
        found: list[tuple[int, int]] = []
        try:
            async for row in counters.list_all.stream(session):
                found.append((row.id, row.n))  # noqa: PERF401 (rows that came before an error count)
        except Exception as error:  # noqa: BLE001 (counted)
            self.errors[f"stream: {type(error).__name__}"] += 1
        for key, value in found:
            self.events.append(Read("causal", chain, program, key, value, started, self._server))

    async def _transaction(
        self, session: Any, chain: int, program: int, keys: Sequence[int], level: Any
    ) -> None:
        """Read counters in a read-only transaction, which a replica may end."""
        try:
            async with session.transaction(read_only=True, isolation=level) as tx:
                for key in keys:
                    started = monotonic()
                    value = await counters.get(tx, id=key)
                    self.events.append(Read("causal", chain, program, key, value or 0, started, self._server))
        except Exception as error:  # noqa: BLE001 (counted)
            self.errors[f"transaction: {type(error).__name__}"] += 1


async def drive(primary: str, replicas: Sequence[str], plan: Plan, faults: ReplicaFaults | None) -> Report:
    """Run the programs of a soak on servers that are there."""
    broken = BROKEN[plan.broken]() if plan.broken else nullcontext()
    async with AsyncExitStack() as stack:
        stack.enter_context(broken)
        soak = _Soak(plan)
        soak.programs = [
            await stack.enter_async_context(
                plainsql.connect(
                    primary, replicas=replicas, max_size=4, on_call=soak.server_of, **soak.options()
                )
            )
            for _ in range(_PROGRAMS)
        ]
        disturbing = None
        if faults is not None:
            disturbing = asyncio.create_task(faults.run(plan.pause, list(plan.faults), soak.ended))
        await asyncio.gather(*soak.tasks())
        report = Report(Verdict(), plan.synchronous and plan.has_failovers, errors=soak.errors)
        report.failed_on_replicas = sum(
            replica.failed for db in soak.programs for replica in db.stats().replicas
        )
        if disturbing is not None and faults is not None:
            await disturbing
            report.faults = faults.done
        kept = None
        if plan.has_failovers:
            async with soak.programs[0].acquire() as connection:
                rows = await connection.fetch("select h.id, h.n from counters.history as h")
                kept = {(row["id"], row["n"]) for row in rows}
        report.verdict = judge(soak.events, soak.programs[0].name, kept=kept)
        return report


async def soak(plan: Plan) -> Report:
    """Start a primary and two replicas, and run a soak on them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="plainsql-")))
        addresses = Addresses(folder)
        primary = await asyncio.to_thread(embedded.start, folder / "0", settings={"fsync": "off"})
        stack.callback(primary.stop)
        url = await asyncio.to_thread(primary.create_database, "soak")
        await asyncio.to_thread(migrate.apply, url, _HERE / "migrations")
        replicas = [
            await asyncio.to_thread(start_replica, primary, folder / str(number)) for number in (1, 2)
        ]
        faults = ReplicaFaults(primary, replicas, addresses, plan.seed)
        stack.callback(faults.stop_servers)
        servers = [primary, *replicas]
        own, *others = urls = [addresses.add(server) for server in servers]
        if plan.pooler:
            others = [
                url_through(
                    stack.enter_context(
                        pgbouncer(server, "session", size=_POOLED, address=addresses.folder_of(server))
                    ),
                    "soak",
                )
                for server in replicas
            ]
        if not plan.has_failovers:
            return await drive(own, others, plan, faults)
        if plan.synchronous:
            for server in servers:
                await asyncio.to_thread(server.execute, _SYNCHRONOUS)
        return await drive(addresses.url(servers), urls if not plan.pooler else others, plan, faults)
