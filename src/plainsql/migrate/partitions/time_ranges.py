"""The ranges of time of partitions: whole hours, days, weeks, months, quarters or years of UTC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, get_args

__all__ = ["INTERVALS", "Interval", "TimeRange", "interval_at", "intervals", "uncovered"]

Interval = Literal["hour", "day", "week", "month", "quarter", "year"]

INTERVALS: Final[tuple[Interval, ...]] = get_args(Interval)

_MONTHS: Final[dict[str, int]] = {"month": 1, "quarter": 3, "year": 12}
_STEPS: Final[dict[str, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}


@dataclass(frozen=True, slots=True, order=True)
class TimeRange:
    """A range of time, the end excluded; None is no limit."""

    start: datetime | None
    end: datetime | None


def interval_at(time: datetime, every: Interval, offset: int = 0) -> datetime:
    """Return the start of the interval of a time, or of the one that is so many intervals later."""
    time = time.astimezone(UTC)
    if every in _MONTHS:
        step = _MONTHS[every]
        months = time.year * 12 + time.month - 1
        months = months // step * step + offset * step
        return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
    start = time.replace(minute=0, second=0, microsecond=0)
    if every != "hour":
        start = start.replace(hour=0)
    if every == "week":
        start -= timedelta(days=start.weekday())
    return start + offset * _STEPS[every]


def intervals(now: datetime, every: Interval, ahead: int) -> Iterator[TimeRange]:
    """Yield the range of now, and those that come."""
    for offset in range(ahead + 1):
        yield TimeRange(interval_at(now, every, offset), interval_at(now, every, offset + 1))


def uncovered(wanted: TimeRange, existing: Iterable[TimeRange]) -> list[TimeRange]:
    """Return the parts of a range that no other range covers, in order."""
    assert wanted.start is not None
    assert wanted.end is not None
    found: list[TimeRange] = []
    at = wanted.start
    for other in sorted(existing, key=lambda each: each.start or datetime.min.replace(tzinfo=UTC)):
        if other.end is not None and other.end <= at:
            continue
        if other.start is not None and other.start >= wanted.end:
            break
        if other.start is not None and other.start > at:
            found.append(TimeRange(at, other.start))
        if other.end is None:
            return found
        at = other.end
    return [*found, TimeRange(at, wanted.end)] if at < wanted.end else found
