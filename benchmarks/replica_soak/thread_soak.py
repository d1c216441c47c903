"""``python -m benchmarks.replica_soak.thread_soak --seconds N``: the soak for the synchronous side.

Two programs with a ``plainsql.sync.Pool`` each have threads with sessions, which go on in the other program
by their tokens, and readers of the program's own writes. Exit 1 if a read was older than promised.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final
from unittest import mock

import plainsql
from benchmarks.replica_soak.causal_history import Event, Read, Verdict, Write, judge
from benchmarks.replica_soak.queries import counters
from benchmarks.replica_soak.replica_faults import ReplicaFaults
from benchmarks.replica_soak.servers import Addresses, start_replica
from plainsql import embedded, migrate
from plainsql.sync.replicas.replica_choice import Replicas
from plainsql.sync.replicas.tracked_scope import TrackedScope

__all__ = ["drive_threads", "main"]

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_REPLICA: Final = "a replica"
_OWN: Final = 100
"""The distance to the keys of counters that are written through a pool, and in no session."""


def main(arguments: list[str]) -> int:
    """Run the soak with a primary and two replicas of its own."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.replica_soak.thread_soak", description=__doc__
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--break", dest="broken", choices=("position",), help="ignore what was seen")
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="plainsql-")))
        addresses = Addresses(folder)
        primary = embedded.start(folder / "0", settings={"fsync": "off"})
        stack.callback(primary.stop)
        migrate.apply(primary.create_database("soak"), _MIGRATIONS)
        replicas = [start_replica(primary, folder / str(number)) for number in (1, 2)]
        faults = ReplicaFaults(primary, replicas, addresses, given.seed)
        stack.callback(faults.stop_servers)
        url, *others = [addresses.add(server) for server in (primary, *replicas)]
        ends = monotonic() + given.seconds
        with ThreadPoolExecutor(1) as threads:
            driving = threads.submit(
                drive_threads, url, others, given.seconds, seed=given.seed, broken=given.broken is not None
            )
            asyncio.run(faults.run(1.0, [*_OF_REPLICAS], lambda: monotonic() > ends))
            verdict, errors = driving.result()
    print(f"{sum(faults.done.values())} faults {dict(faults.done)}")
    print(f"{verdict.writes} writes, {sum(verdict.reads.values())} reads, {verdict.on_replicas} on replicas")
    print(f"violations {dict(verdict.violations)}, errors {dict(errors)}")
    for example in verdict.examples:
        print(example)
    return 1 if verdict.violations or errors or not verdict.on_replicas else 0


_OF_REPLICAS: Final = ("pause", "late", "restart", "crash", "switch", "promote")


def drive_threads(
    url: str, replicas: list[str], seconds: float, *, seed: int = 0, broken: bool = False
) -> tuple[Verdict, Counter[str]]:
    """Run sessions and readers in threads, and return the verdict and the kinds of errors."""
    ends = monotonic() + seconds
    events: list[list[Event]] = []
    errors: Counter[str] = Counter()
    with ExitStack() as stack:
        if broken:
            stack.enter_context(mock.patch.object(TrackedScope, "floor", return_value=None))
        pools = [
            stack.enter_context(plainsql.sync.Pool(url, replicas=replicas, max_size=8)) for _ in range(2)
        ]
        stack.enter_context(mock.patch.object(Replicas, "_read_on", _noted(Replicas._read_on)))
        with ThreadPoolExecutor() as threads:
            for chain in range(6):
                own: list[Event] = []
                events.append(own)
                threads.submit(_sessions, pools, chain, ends, own, errors, random.Random(seed + chain))
    return judge([event for own in events for event in own]), errors


def _noted(read_on: object) -> object:
    """Return a function of ``Replicas`` that notes the reads that replicas have answered."""

    def noted(self: Replicas, *arguments: object) -> object:
        done = read_on(self, *arguments)  # type: ignore[operator]
        _place.server = _REPLICA if isinstance(done, tuple) else ""
        return done

    return noted


_place = threading.local()


def _sessions(
    pools: list[plainsql.sync.Pool],
    chain: int,
    ends: float,
    events: list[Event],
    errors: Counter[str],
    choice: random.Random,
) -> None:
    """Write to a counter and read it, in sessions that continue each other in one program or the other."""
    token: bytes | None = None
    value = 0
    key = chain + 1
    while monotonic() < ends:
        program = choice.randrange(len(pools))
        pool = pools[program]
        try:
            with pool.causal(token, max_wait=choice.choice((0.0, 0.02))) as session:
                for _ in range(choice.randrange(1, 6)):
                    if choice.random() < 0.3:
                        counters.put(session, id=key, n=value + 1)
                        value += 1
                        events.append(Write(chain, program, key, value, monotonic()))
                    other = choice.randrange(6) + 1
                    _place.server = ""
                    started = monotonic()
                    found = counters.get(session, id=other) or 0
                    events.append(Read("causal", chain, program, other, found, started, _place.server))
                token = session.token
            value += 1
            counters.put(pool, id=key + _OWN, n=value)
            events.append(Write(chain + _OWN, program, key + _OWN, value, monotonic()))
            _place.server = ""
            started = monotonic()
            found = counters.get(pool.replica(max_wait=0.02), id=key + _OWN) or 0
            events.append(Read("own", chain + _OWN, program, key + _OWN, found, started, _place.server))
        except Exception as error:  # noqa: BLE001 (each kind is counted)
            errors[f"{type(error).__name__}: {error}"[:200]] += 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
