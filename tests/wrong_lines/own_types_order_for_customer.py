"""An identifier of another table, a plain number, and an amount that is not the project's own."""

from __future__ import annotations

from decimal import Decimal

from plainsql import Database
from tests.codegen.kitchen.own_types import BookingId, GuestId, Money
from tests.codegen.kitchen.queries.kitchen import bookings


async def mix_up(db: Database, guest: GuestId, booking: BookingId) -> GuestId:
    # refused by mypy: matches argument types "Database", "BookingId", "Money"
    # refused by pyright: "BookingId" cannot be assigned to parameter "guest_id" of type "GuestId"
    await bookings.add(db, guest_id=booking, price=Money(100))
    # refused by mypy: List item 0 has incompatible type "int"; expected "GuestId"
    # refused by pyright: "list[int]" cannot be assigned to parameter "guests" of type "list[GuestId]"
    await bookings.of_guests(db, guests=[1])
    # refused by mypy: matches argument types "Database", "Decimal"
    # refused by pyright: "Decimal" cannot be assigned to parameter "most" of type "Money"
    await bookings.highest(db, most=Decimal(1))
    made = await bookings.add(db, guest_id=guest, price=Money(100))
    # refused by mypy: Incompatible return value type (got "BookingId", expected "GuestId")
    # refused by pyright: Type "BookingId" is not assignable to return type "GuestId"
    return made.id
