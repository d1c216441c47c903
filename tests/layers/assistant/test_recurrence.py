"""Recurring events, by RFC 5545."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from asyncpg import CheckViolationError

from plainsql.database import TenantDatabase
from plainsql.layers.assistant import events, users
from tests.layers.assistant.desk import pages

NEW_YORK = ZoneInfo("America/New_York")
# The RFC's examples of the supported rules, with its dates: 2 September 1997, a Tuesday.
FIRST = datetime(1997, 9, 2, 9, tzinfo=NEW_YORK)


async def days(
    db: TenantDatabase,
    rule: str | None,
    first: datetime = FIRST,
    since: datetime = datetime(1997, 1, 1, tzinfo=NEW_YORK),
    until: datetime = datetime(1998, 3, 1, tzinfo=NEW_YORK),
    **values: Any,
) -> list[str]:
    user = await users.create(db, timezone="America/New_York")
    await events.create(
        db, **{"user_id": user.id, "title": "x", "start_datetime": first, "recurrence_rule": rule, **values}
    )
    found = await events.occurrences(db, user_id=user.id, since=since, until=until, limit=1000)
    local = [row.begins_at.astimezone(NEW_YORK) for row in found]
    assert {at.time() for at in local} <= {first.time()}, "the hour of the day is kept"
    return [f"{at:%y-%m-%d}" for at in local]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (None, "97-09-02"),
        ("FREQ=DAILY;COUNT=3", "97-09-02 97-09-03 97-09-04"),
        ("RRULE:FREQ=DAILY;INTERVAL=10;COUNT=5", "97-09-02 97-09-12 97-09-22 97-10-02 97-10-12"),
        ("FREQ=DAILY;UNTIL=19970904T000000Z", "97-09-02 97-09-03"),
        ("FREQ=DAILY;UNTIL=19970904", "97-09-02 97-09-03 97-09-04"),
        ("FREQ=WEEKLY;COUNT=5", "97-09-02 97-09-09 97-09-16 97-09-23 97-09-30"),
        ("FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=MO;BYDAY=TU,TH",
         "97-09-02 97-09-04 97-09-09 97-09-11 97-09-16 97-09-18 97-09-23 97-09-25 97-09-30 97-10-02"),
        ("FREQ=WEEKLY;INTERVAL=2;COUNT=8;BYDAY=TU,TH",
         "97-09-02 97-09-04 97-09-16 97-09-18 97-09-30 97-10-02 97-10-14 97-10-16"),
        ("FREQ=MONTHLY;COUNT=4;BYDAY=1TU", "97-09-02 97-10-07 97-11-04 97-12-02"),
        ("FREQ=MONTHLY;COUNT=3;BYMONTHDAY=2", "97-09-02 97-10-02 97-11-02"),
        ("FREQ=MONTHLY;COUNT=4;BYDAY=-1SU", "97-09-02 97-09-28 97-10-26 97-11-30"),
        ("FREQ=MONTHLY;COUNT=3;BYMONTHDAY=-1", "97-09-02 97-09-30 97-10-31"),
        ("FREQ=MONTHLY;INTERVAL=2;COUNT=3", "97-09-02 97-11-02 98-01-02"),
        ("FREQ=YEARLY;COUNT=3;BYMONTH=9,11", "97-09-02 97-11-02"),
        ("FREQ=YEARLY;UNTIL=19980101", "97-09-02"),
    ],
)  # fmt: skip
async def test_a_rule_gives_its_days(tenant: TenantDatabase, rule: str | None, expected: str) -> None:
    assert await days(tenant, rule) == expected.split()


async def test_a_month_without_such_a_day_is_passed_over(tenant: TenantDatabase) -> None:
    first = datetime(1997, 8, 31, 9, tzinfo=NEW_YORK)
    assert await days(tenant, "FREQ=MONTHLY;COUNT=4", first) == [
        "97-08-31",
        "97-10-31",
        "97-12-31",
        "98-01-31",
    ]


async def test_an_event_keeps_its_hour_of_day_when_clocks_change(tenant: TenantDatabase) -> None:
    first = datetime(1997, 10, 25, 9, tzinfo=NEW_YORK)
    user = await users.create(tenant, timezone="America/New_York")
    await events.create(
        tenant, user_id=user.id, title="x", start_datetime=first, recurrence_rule="FREQ=DAILY;COUNT=2"
    )
    found = await events.occurrences(
        tenant, user_id=user.id, since=first - timedelta(days=9), until=first + timedelta(days=9)
    )
    assert found[1].begins_at - found[0].begins_at == timedelta(hours=25)


async def test_a_range_has_the_times_in_it_and_the_one_that_is_still_on(tenant: TenantDatabase) -> None:
    since = datetime(1997, 9, 10, 10, tzinfo=NEW_YORK)
    found = await days(
        tenant,
        "FREQ=DAILY",
        since=since,
        until=since + timedelta(days=2),
        end_datetime=FIRST + timedelta(hours=2),
    )
    assert found == ["97-09-10", "97-09-11", "97-09-12"]


async def test_recurring_and_single_events_are_listed_in_one_order(tenant: TenantDatabase) -> None:
    user = await users.create(tenant)
    start = datetime(2030, 1, 7, 9, tzinfo=UTC)

    async def plan(title: str, **values: Any) -> None:
        await events.create(tenant, user_id=user.id, title=title, **values)

    await plan("swim", start_datetime=start, recurrence_rule="FREQ=WEEKLY;BYDAY=MO,WE")
    await plan("once", start_datetime=start + timedelta(days=1))
    await plan("travel", start_datetime=start - timedelta(days=9), end_datetime=start + timedelta(days=9))
    await plan("over", start_datetime=start - timedelta(days=1))
    given: dict[str, Any] = {"user_id": user.id, "since": start, "until": start + timedelta(days=8)}
    found = [row async for row in pages(events.occurrences, tenant, "begins_at", "id", **given)]
    assert [row.title for row in found] == ["travel", "swim", "once", "swim", "swim"]
    assert [row.ends_at is None for row in found] == [False, True, True, True, True]


@pytest.mark.parametrize(
    "rule",
    ["FREQ=HOURLY", "FREQ=DAILY;BYSETPOS=1", "INTERVAL=2", "FREQ=DAILY;COUNT=0", "FREQ=WEEKLY;BYDAY=XX",
     "FREQ=DAILY;;", "FREQ=WEEKLY;WKST=SU"],
)  # fmt: skip
async def test_a_rule_that_is_not_understood_is_refused(tenant: TenantDatabase, rule: str) -> None:
    user = await users.create(tenant)
    with pytest.raises(CheckViolationError):
        await events.create(tenant, user_id=user.id, title="x", start_datetime=FIRST, recurrence_rule=rule)
