"""The decision of a limit about one call."""

from __future__ import annotations

import msgspec

__all__ = ["Decision"]


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The decision of one or several limits; true if allowed, as in ``if await bucket.consume(key)``."""

    allowed: bool
    """True if all limits had enough. Only then a call that takes has taken something."""
    remaining: int
    """The number that is left after this call; with several limits, of the limit with the fewest."""
    retry_after: float = 0.0
    """Seconds until there is enough, if no other call takes any; 0 if allowed. Never too short."""
    refused_by: tuple[str, ...] = ()
    """The names of the limits that did not have enough, in the order of the call."""
    without_redis: bool = False
    """True if Redis had no part in the decision."""

    def __bool__(self) -> bool:
        return self.allowed
