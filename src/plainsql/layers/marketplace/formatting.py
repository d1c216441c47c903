"""The text form of the report's numbers."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

__all__ = ["amount", "duration", "percent", "title"]

_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£"}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def amount(value: Decimal, currency: str, *, cents: bool | None = None) -> str:
    """Write a sum of money: "1,240.50 €"; whole sums without decimals, unless ``cents`` says otherwise."""
    if cents is None:
        cents = value != value.to_integral_value()
    text = f"{value:,.2f}" if cents else f"{value:,.0f}"
    return f"{text} {_SYMBOLS.get(currency, currency)}"


def duration(seconds: float | None) -> str:
    """Write a length of time in its two largest units: "3 d 4 h", "12 min"; "-" for None."""
    if seconds is None:
        return "-"
    minutes = round(seconds / 60)
    if minutes < 1:
        return "< 1 min"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days:,} d {hours} h" if hours else f"{days:,} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min"


def percent(share: float | None) -> str:
    """Write a share of 1: "87 %"; "-" for None. Only all is written as 100 %, and only none as 0 %."""
    if share is None:
        return "-"
    if 0.995 <= share < 1:
        return "> 99 %"
    if 0 < share < 0.005:
        return "< 1 %"
    return f"{share:.0%}".replace("%", " %")


def title(day: date) -> str:
    """Write a day in English, whatever the locale: "Friday, 20 November 2026"."""
    return f"{_DAYS[day.weekday()]}, {day.day} {_MONTHS[day.month - 1]} {day.year}"
