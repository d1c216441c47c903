"""The demands of reads on a replica."""

from __future__ import annotations

from typing import Final, NamedTuple

from plainsql.statements.model import DEFAULT_MAX_LAG_S

__all__ = ["MAX_WAIT_S", "Demand"]

MAX_WAIT_S: Final = 0.05


class Demand(NamedTuple):
    """The demands of reads on a replica."""

    max_lag: float = DEFAULT_MAX_LAG_S
    """Seconds that it may be behind the primary."""
    max_wait: float = MAX_WAIT_S
    """Seconds to wait for a replica, before the read runs on the primary."""
