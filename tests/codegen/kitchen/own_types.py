"""The kitchen's own types of columns, which its settings name."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NewType

GuestId = NewType("GuestId", int)
BookingId = NewType("BookingId", int)


@dataclass(frozen=True)
class Money:
    """An amount in cents."""

    cents: int


def load(value: Decimal) -> Money:
    return Money(int(value * 100))


def dump(money: Money) -> Decimal:
    return Decimal(money.cents) / 100
