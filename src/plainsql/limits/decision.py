"""The answer of a limit."""

from __future__ import annotations

import msgspec

__all__ = ["Decision"]


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The answer of one or several limits; true if allowed, as in ``if await bucket.consume(key)``."""

    allowed: bool
    """True if all limits had enough; only then was anything taken, and only by a call that takes."""
    remaining: int
    """The number that is left after this call; with several limits, the smallest one."""
    retry_after: float = 0.0
    """Seconds until there is enough, if no other call takes any; 0 if allowed. Never too short."""
    refused_by: tuple[str, ...] = ()
    """The names of the limits that did not have enough, in the order of the call."""
    without_redis: bool = False
    """True if Redis had no part in the answer."""

    def __bool__(self) -> bool:
        return self.allowed
