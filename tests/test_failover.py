"""The pair of servers of the failover tests: it streams, promotes, fences and rewinds."""

from __future__ import annotations

import asyncpg
import pytest

from tests.failover import failover_pair
from tests.proxy import open_proxy


async def test_a_standby_is_promoted_and_the_old_primary_becomes_its_standby() -> None:
    """Each step is seen by the next: what was streamed, the fence, the new timeline, and the way back."""
    timeline = "select left(pg_walfile_name(pg_current_wal_lsn()), 8)"
    with failover_pair() as (old, new):
        old.execute("create table t (n integer)")
        old.execute("insert into t values (1)")
        new.wait_for(old)
        assert new.execute("select n, pg_is_in_recovery() from t") == [(1, True)]
        async with open_proxy(old.socket) as proxy:
            before = await asyncpg.connect(proxy.url())
            old.read_only()
            new.promote()
            proxy.retarget(new.socket)
            after = await asyncpg.connect(proxy.url())
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await before.execute("insert into t values (2)")
            await after.execute("insert into t values (3)")
            assert (await before.fetchval(timeline), await after.fetchval(timeline)) == (
                "00000001",
                "00000002",
            )
            assert await before.fetchval("select count(*) from t") == 1
            await before.close()
            await after.close()
        old.stop()
        old.rewind(new)
        old.start()
        old.wait_for(new)
        assert old.execute("select n from t order by n") == [(1,), (3,)]
        assert old.execute("select pg_is_in_recovery()") == [(True,)]
