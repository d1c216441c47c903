"""Dates, times and intervals, in the ISO style; another ``DateStyle`` or ``IntervalStyle`` is refused.

As on asyncpg, ``infinity`` is Python's greatest or least date or datetime, without a zone. A moment outside
of Python's years in UTC is refused. psycopg refuses infinity, and returns such a moment in the session's
zone. ``TIMES`` has loaders that do as asyncpg, ``FAST`` has psycopg's own, in C.
"""

# ruff: noqa: DTZ901 (timestamps without a zone are a type of PostgreSQL)

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from psycopg.types.datetime import DateLoader, TimeLoader, TimestampLoader, TimestamptzLoader, TimetzLoader

from plainsql.sync.adapters.adapter import Adapter, text_loader

__all__ = ["FAST", "TIMES"]

_INTERVAL: Final = re.compile(
    r"(?:(-?\d+) years? ?)?(?:([-+]?\d+) mons? ?)?(?:([-+]?\d+) days? ?)?"
    r"(?:([-+]?)(\d{2,}):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?"
)


def _dump_date(value: Any) -> str:
    if not isinstance(value, date):
        raise TypeError
    day = value.date() if isinstance(value, datetime) else value
    return "infinity" if day == date.max else "-infinity" if day == date.min else day.isoformat()


def _load_date(text: str) -> date:
    if text == "infinity":
        return date.max
    if text == "-infinity":
        return date.min
    return date.fromisoformat(text)


def _dump_timestamp(value: Any) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 (the type has no zone)
    if not isinstance(value, datetime) or value.utcoffset() is not None:
        raise TypeError
    return _dump_moment(value.replace(tzinfo=None))


def _dump_timestamptz(value: Any) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day).astimezone()
    if not isinstance(value, datetime):
        raise TypeError
    # The infinite ones have no zone, and would leave Python's years in another one.
    if value not in (datetime.max, datetime.min):
        value = value.astimezone(UTC).replace(tzinfo=None)
    text = _dump_moment(value)
    return text if text.endswith("infinity") else text + "+00"


def _dump_moment(value: datetime) -> str:
    if value == datetime.max:
        return "infinity"
    return "-infinity" if value == datetime.min else value.isoformat(sep=" ")


def _load_timestamp(text: str) -> datetime:
    if text == "infinity":
        return datetime.max
    if text == "-infinity":
        return datetime.min
    return datetime.fromisoformat(text)


def _load_timestamptz(text: str) -> datetime:
    value = _load_timestamp(text)
    return value if text.endswith("infinity") else value.astimezone(UTC)


def _dump_time(value: Any) -> str:
    return time(value.hour, value.minute, value.second, value.microsecond).isoformat()


def _dump_timetz(value: Any) -> str:
    # Without a date, a zone with summer time has no offset.
    offset = value.tzinfo.utcoffset(None)
    sign = "-" if offset < timedelta(0) else "+"
    seconds = abs(offset) // timedelta(seconds=1)
    return f"{_dump_time(value)}{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _dump_interval(value: Any) -> str:
    if not isinstance(value, timedelta):
        raise TypeError
    # Every part has its sign: with IntervalStyle sql_standard, a leading one would count for all.
    return f"{value.days:+d} days {value.seconds:+d}.{value.microseconds:06d} seconds"


def _load_interval(text: str) -> timedelta:
    """Read an interval of the style ``postgres``. psycopg's loader needs the connection to know the style."""
    found = _INTERVAL.fullmatch(text)
    if found is None or not text:
        raise OverflowError if text.endswith("infinity") else ValueError
    years, months, days = (int(part or 0) for part in found.group(1, 2, 3))
    clock = timedelta(0)
    if found[5]:
        clock = timedelta(
            hours=int(found[5]),
            minutes=int(found[6]),
            seconds=int(found[7]),
            microseconds=int((found[8] or "").ljust(6, "0")),
        )
    return timedelta(days=years * 365 + months * 30 + days) + (-clock if found[4] == "-" else clock)


TIMES: Final = (
    Adapter("date", _dump_date, text_loader(_load_date)),
    Adapter("timestamp", _dump_timestamp, text_loader(_load_timestamp)),
    Adapter("timestamptz", _dump_timestamptz, text_loader(_load_timestamptz)),
    Adapter("time", _dump_time, TimeLoader),
    Adapter("timetz", _dump_timetz, TimetzLoader),
    Adapter("interval", _dump_interval, text_loader(_load_interval)),
)

FAST: Final[Mapping[str, type[Any]]] = {
    "date": DateLoader,
    "timestamp": TimestampLoader,
    "timestamptz": TimestamptzLoader,
}
