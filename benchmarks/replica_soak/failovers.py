"""Failovers: the primary is killed, hangs, or goes on apart; a replica is promoted, and the others follow."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from benchmarks.replica_soak.servers import kill_server, processes_of, start_again
from plainsql.embedded import EmbeddedServer
from plainsql.errors import EmbeddedServerError

if TYPE_CHECKING:
    from benchmarks.replica_soak.replica_faults import ReplicaFaults

__all__ = ["FAILOVERS"]

_APART_S: Final = 0.3
"""Seconds in which the primary is cut off from its replicas: what it writes then is lost, if it does not wait
for them."""
_NOTICED_S: Final = 1.5
"""Seconds after which all programs have found the new primary."""
_READ_ONLY: Final = "alter system set default_transaction_read_only = on;\nselect pg_reload_conf()"
_RECEIVED: Final = "select (pg_last_wal_receive_lsn() - '0/0'::pg_lsn)::bigint"
_SENDERS: Final = "select string_agg(r.pid::text, ' ') from pg_stat_replication as r"
_OF_ITS_OWN: Final = """
set synchronous_commit = local;
update counters.counters set n = 0;
select count(pg_logical_emit_message(false, 'soak', repeat('x', 100000))) from generate_series(1, 100)
"""
"""Writes of a former primary that does not know yet that it is one, with more log than the new one has."""


async def _kill(faults: ReplicaFaults) -> None:
    """Kill the primary, a moment after it has lost its replicas."""
    former = faults.primary
    await _cut_off(former)
    await asyncio.to_thread(kill_server, former)
    await _promote(faults)
    await _follow(faults, former)


async def _hang(faults: ReplicaFaults) -> None:
    """Stop the primary, whose connections stay and are silent."""
    former = faults.primary
    await _cut_off(former)
    for pid in processes_of(former):
        os.kill(pid, signal.SIGSTOP)
    await _promote(faults)
    await asyncio.sleep(_NOTICED_S)
    await asyncio.to_thread(kill_server, former)
    await _follow(faults, former)


async def _fence(faults: ReplicaFaults) -> None:
    """Make the primary read-only, with its connections; it answers reads as before."""
    former = faults.primary
    await asyncio.to_thread(former.execute, _READ_ONLY)
    await _cut_off(former)
    await _promote(faults)
    await asyncio.sleep(2 * _NOTICED_S)
    await asyncio.to_thread(kill_server, former)
    await _follow(faults, former)


async def _part(faults: ReplicaFaults) -> None:
    """Cut the primary off from the programs, and let it and one replica go on with their timeline."""
    former = faults.primary
    with faults.unreachable(former):
        await asyncio.to_thread(former.disconnect, "soak")
        promoted = await _promote(faults)
        await asyncio.sleep(_NOTICED_S)
        await asyncio.to_thread(former.execute, _OF_ITS_OWN, "soak")
        await asyncio.sleep(_NOTICED_S)
        assert faults.primary is promoted
        await asyncio.to_thread(kill_server, former)
    await _follow(faults, former)


FAILOVERS: Final[dict[str, Callable[[ReplicaFaults], Awaitable[None]]]] = {
    "kill": _kill,
    "hang": _hang,
    "fence": _fence,
    "part": _part,
}


async def _cut_off(primary: EmbeddedServer) -> None:
    senders = await asyncio.to_thread(primary.execute, _SENDERS)
    for pid in map(int, senders.split()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(_APART_S)


async def _promote(faults: ReplicaFaults) -> EmbeddedServer:
    """Promote the replica that has received most. The other one stays with the former primary."""
    received = {
        replica: int(await asyncio.to_thread(replica.execute, _RECEIVED)) for replica in faults.replicas
    }
    promoted = max(faults.replicas, key=received.__getitem__)
    # Not by its own method, which drops the slot on the former primary and waits for its answer.
    await asyncio.to_thread(promoted.execute, "select pg_promote(true, 60)")
    faults.primary = promoted
    faults.replicas = [replica for replica in faults.replicas if replica is not promoted]
    return promoted


async def _follow(faults: ReplicaFaults, former: EmbeddedServer) -> None:
    """Let the other replica follow the new primary with the data that it has, and copy the former one."""
    for server, is_new in ((faults.replicas[0], False), (former, True)):
        try:
            replica = await asyncio.to_thread(start_again, faults.primary, server, is_new=is_new)
        except EmbeddedServerError:  # it has more of the former timeline than the new one has
            replica = await asyncio.to_thread(start_again, faults.primary, server, is_new=True)
        faults.replicas = [*(one for one in faults.replicas if one is not server), replica]
