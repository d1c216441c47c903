"""Commits that a replica shows before the primary does.

PostgreSQL writes a commit into the log, waits for synchronous standbys, and ends the transaction only then: a
replica may have replayed the commit meanwhile. A session that has read it there, and reads from the primary
next, waits until the transactions that were running have ended.
"""

from __future__ import annotations

from typing import Final

__all__ = ["PAUSE_S", "RUNNING_SQL", "VISIBLE_S"]

VISIBLE_S: Final = 0.2
"""Seconds for which it waits at most, because a transaction may also be a long one."""
PAUSE_S: Final = 0.001
"""Seconds between two looks at the transactions."""

# A transaction that has written locks its number until others see its commit. A snapshot does not name the
# running transactions whose numbers are above those of all that have ended.
RUNNING_SQL: Final = """
select l.transactionid::text
from pg_catalog.pg_locks as l
where l.locktype = 'transactionid' and l.mode = 'ExclusiveLock' and l.granted
"""
