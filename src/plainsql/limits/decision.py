"""What a limit answers."""

from __future__ import annotations

import msgspec

__all__ = ["Decision"]


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The answer of one or several limits; true where allowed, as in ``if await bucket.consume(key)``."""

    allowed: bool
    """Whether all limits had enough; only then was anything taken, and only by a call that takes."""
    remaining: int
    """How many more there are after this call; with several limits, of the one that has the fewest."""
    retry_after: float = 0.0
    """Seconds until there is enough, if nobody else takes any; 0 where allowed. Never too short."""
    refused_by: tuple[str, ...] = ()
    """The names of the limits that did not have enough, in the order of the call."""
    without_redis: bool = False
    """Whether Redis had no part in the answer."""

    def __bool__(self) -> bool:
        return self.allowed
