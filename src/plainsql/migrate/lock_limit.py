"""The limit of a wait for a lock, and the pauses between the tries.

A statement that queues for a lock makes all later statements on that table queue behind it. So it gives up
after a few seconds, lets them pass, and tries again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from plainsql.migrate.results import milliseconds
from plainsql.migrate.script import Script, Statement

__all__ = ["RETRIED", "LockLimit"]

RETRIED = frozenset({"55P03", "40P01"})
"""The lock timeout (also of ``nowait``) and the deadlock: a rolled back transaction may run again."""

_MAX_PAUSE_S = 30.0
_PAUSE_WITHOUT_TIMEOUT_S = 1.0
# They commit while they run, so a timeout would keep a part of their work. `concurrently` would leave an
# invalid index.
_UNLIMITED = frozenset({"call", "do"})


@dataclass(frozen=True, slots=True)
class LockLimit:
    """The wait for a lock that a statement has, and the number of tries after the first."""

    timeout_s: float = 5.0
    """0 is no limit."""
    retries: int = 5

    def pause_s(self, attempt: int) -> float:
        """Return the pause after a failed attempt, counted from 1: it grows, and half of it is random.

        Two runs that collided do not collide again, and the queue behind the lock drains in the meantime.
        """
        longest = min(_MAX_PAUSE_S, (self.timeout_s or _PAUSE_WITHOUT_TIMEOUT_S) * 2 ** (attempt - 2))
        return random.uniform(longest / 2, longest)

    def setting(self, script: Script, statement: Statement) -> str | None:
        """Return the value of ``lock_timeout`` for a statement that is sent alone; None leaves it alone.

        A script that sets it itself has its own way.
        """
        if any(_sets_timeout(each) for each in script.statements):
            return None
        return milliseconds(self.timeout_s) if self.limits(statement) else "0"

    @staticmethod
    def limits(statement: Statement) -> bool:
        """Return True if a statement outside a transaction may give up: then it has changed nothing."""
        return "concurrently" not in statement.words and not _UNLIMITED & set(statement.words[:1])


def _sets_timeout(statement: Statement) -> bool:
    words = statement.words
    return "lock_timeout" in words or ("set_config" in words and "lock_timeout" in statement.text.lower())
