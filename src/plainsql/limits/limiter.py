"""The protocol of ``Limits`` that buckets and windows use."""

from __future__ import annotations

from typing import Protocol

from plainsql.limits.decision import Decision
from plainsql.limits.rules import Charge, Subject

__all__ = ["Limiter"]


class Limiter(Protocol):
    """A set of limits that decides on charges; ``Limits`` implements it."""

    def _key(self, name: str, subject: Subject, more: str = "") -> str:
        """Return the key of a subject's limit in Redis."""
        ...

    async def check(self, *charges: Charge) -> Decision:
        """Return the decision that ``consume`` would make now, and take nothing."""
        ...

    async def consume(self, *charges: Charge) -> Decision:
        """Take from all the limits, or from none if one of them has not enough."""
        ...

    async def wait(self, *charges: Charge, timeout: float | None = None) -> Decision:
        """Take from all the limits as soon as all of them have enough."""
        ...
