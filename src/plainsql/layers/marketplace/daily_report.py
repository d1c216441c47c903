"""The report of a day: conversations, answers, sales and revenue, by category."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from plainsql.errors import BindError
from plainsql.executors import AsyncExecutor
from plainsql.layers.marketplace import reports

__all__ = ["CategoryLine", "DailyReport", "Hour", "Revenue", "daily_report", "yesterday"]


class Revenue(msgspec.Struct, frozen=True):
    """The revenue in one currency."""

    currency: str
    amount: Decimal


class CategoryLine(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a day in one category and currency."""

    category: str | None
    """None for the products without a category."""
    currency: str
    conversations: int
    asked: int
    answered: int
    response_rate: float | None
    sales: int
    revenue: Decimal
    median_time_to_sale: float | None
    """Seconds."""


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """One hour of the day."""

    starts_at: datetime
    """In the report's time zone."""
    buyer_messages: int
    bot_messages: int
    sales: int


class DailyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a day, which begins and ends in a time zone."""

    day: date
    time_zone: str
    conversations: int
    """Conversations that began on the day."""
    asked: int
    """Conversations in which the buyer wrote on the day."""
    answered: int
    """Those of them in which the bot answered before the end of the day."""
    response_rate: float | None
    """``answered`` divided by ``asked``, 0 to 1; None if no buyer wrote."""
    sales: int
    revenue: tuple[Revenue, ...]
    """By currency, the largest first; empty without sales."""
    median_time_to_sale: float | None
    """Seconds from listing to sale; None without sales."""
    categories: tuple[CategoryLine, ...]
    """The largest revenue first."""
    hours: tuple[Hour, ...]
    """All hours of the day: 24, or 23 or 25 if the clocks change."""


async def daily_report(db: AsyncExecutor, *, day: date | None = None, time_zone: str = "UTC") -> DailyReport:
    """Return the report of a day, by default of yesterday.

    Args:
        db: the executor of the two queries. In a transaction that is ``repeatable_read`` they see the same
            state.
        day: the day.
        time_zone: the time zone in which it begins and ends: "Europe/Madrid".

    Raises ``BindError`` if there is no such time zone.
    """
    zone = _zone(time_zone)
    day = day or yesterday(time_zone)
    lines = await reports.daily(db, day=day, time_zone=time_zone)
    hours = await reports.hourly(db, day=day, time_zone=time_zone)
    (whole,) = [line for line in lines if line.scope == "day"]
    return DailyReport(
        day=day,
        time_zone=time_zone,
        conversations=whole.conversations,
        asked=whole.asked,
        answered=whole.answered,
        response_rate=whole.response_rate,
        sales=whole.sales,
        revenue=tuple(
            Revenue(line.currency or "", line.revenue or Decimal(0))
            for line in lines
            if line.scope == "currency"
        ),
        median_time_to_sale=_seconds(whole.median_time_to_sale),
        categories=tuple(_category(line) for line in lines if line.scope == "category"),
        hours=tuple(
            Hour(
                starts_at=hour.starts_at.astimezone(zone),
                buyer_messages=hour.buyer_messages,
                bot_messages=hour.bot_messages,
                sales=hour.sales,
            )
            for hour in hours
        ),
    )


def yesterday(time_zone: str = "UTC") -> date:
    """Return the day before today in a time zone. Raises ``BindError`` if there is no such zone."""
    return datetime.now(_zone(time_zone)).date() - timedelta(days=1)


def _category(line: reports.DailyLine) -> CategoryLine:
    return CategoryLine(
        category=line.category,
        currency=line.currency or "",
        conversations=line.conversations,
        asked=line.asked,
        answered=line.answered,
        response_rate=line.response_rate,
        sales=line.sales,
        revenue=line.revenue or Decimal(0),
        median_time_to_sale=_seconds(line.median_time_to_sale),
    )


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BindError(
            f"time_zone: there is no zone {name!r}", hint="write one such as UTC, Europe/Madrid, America/Lima"
        ) from None
