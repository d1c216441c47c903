"""Dates, times and intervals. Text of the ISO style; another ``DateStyle`` or ``IntervalStyle`` is refused.

``infinity`` is Python's greatest or least date or datetime, without a zone, as asyncpg has it.
"""

# ruff: noqa: DTZ901 (timestamps without a zone are a type of PostgreSQL)

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from plainsql.sync.codecs.codec import Codec

__all__ = ["TIMES"]

_INTERVAL: Final = re.compile(
    r"(?:(-?\d+) years? ?)?(?:([-+]?\d+) mons? ?)?(?:([-+]?\d+) days? ?)?"
    r"(?:([-+]?)(\d{2,}):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?"
)


def _encode_date(value: Any) -> str:
    if not isinstance(value, date):
        raise TypeError
    day = value.date() if isinstance(value, datetime) else value
    return "infinity" if day == date.max else "-infinity" if day == date.min else day.isoformat()


def _decode_date(text: str) -> date:
    if text == "infinity":
        return date.max
    if text == "-infinity":
        return date.min
    return date.fromisoformat(text)


def _encode_timestamp(value: Any) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 (the type has no zone)
    if not isinstance(value, datetime) or value.utcoffset() is not None:
        raise TypeError
    return _write(value.replace(tzinfo=None))


def _encode_timestamptz(value: Any) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day).astimezone()
    if not isinstance(value, datetime):
        raise TypeError
    # The infinite ones have no zone, and would leave Python's years when they are moved to another.
    if value not in (datetime.max, datetime.min):
        value = value.astimezone(UTC).replace(tzinfo=None)
    text = _write(value)
    return text if text.endswith("infinity") else text + "+00"


def _write(value: datetime) -> str:
    if value == datetime.max:
        return "infinity"
    return "-infinity" if value == datetime.min else value.isoformat(sep=" ")


def _decode_timestamp(text: str) -> datetime:
    if text == "infinity":
        return datetime.max
    if text == "-infinity":
        return datetime.min
    return datetime.fromisoformat(text)


def _decode_timestamptz(text: str) -> datetime:
    value = _decode_timestamp(text)
    return value if text.endswith("infinity") else value.astimezone(UTC)


def _encode_time(value: Any) -> str:
    return time(value.hour, value.minute, value.second, value.microsecond).isoformat()


def _encode_timetz(value: Any) -> str:
    # Without a date, a zone that knows summer has no offset.
    offset = value.tzinfo.utcoffset(None)
    sign = "-" if offset < timedelta(0) else "+"
    seconds = abs(offset) // timedelta(seconds=1)
    return f"{_encode_time(value)}{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _decode_time(text: str) -> time:
    if text.startswith("24"):  # a valid time to PostgreSQL, which Python takes for midnight since 3.13
        raise ValueError
    return time.fromisoformat(text)


def _encode_interval(value: Any) -> str:
    if not isinstance(value, timedelta):
        raise TypeError
    # Every part has its sign: with IntervalStyle sql_standard, a leading one would count for all.
    return f"{value.days:+d} days {value.seconds:+d}.{value.microseconds:06d} seconds"


def _decode_interval(text: str) -> timedelta:
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
    Codec("date", _encode_date, _decode_date),
    Codec("timestamp", _encode_timestamp, _decode_timestamp),
    Codec("timestamptz", _encode_timestamptz, _decode_timestamptz),
    Codec("time", _encode_time, _decode_time),
    Codec("timetz", _encode_timetz, _decode_time),
    Codec("interval", _encode_interval, _decode_interval),
)
