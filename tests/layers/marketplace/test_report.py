"""The report of a day, and the begin of the day in a time zone."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

import plainsql
from plainsql.layers.marketplace import chart, conversations, messages
from plainsql.layers.marketplace.daily_report import DailyReport, Revenue, daily_report, yesterday
from plainsql.layers.marketplace.formatting import amount, duration, percent, title
from tests.layers.marketplace.stall import execute, new_buyer, new_product

DAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


async def sold(db: plainsql.Database, at: datetime, hours: float, price: int, **more: Any) -> None:
    await new_product(
        db,
        status="SOLD",
        sold_at=at,
        listed_at=at - timedelta(hours=hours),
        sold_price=Decimal(price),
        **more,
    )


async def talk(db: plainsql.Database, at: datetime, *said: tuple[str, float], **product: Any) -> None:
    """A conversation that began at a time, with messages so many minutes later."""
    about, buyer = await new_product(db, **product), await new_buyer(db)
    begun = await conversations.create(
        db, wallapop_chat_id=uuid.uuid4().hex, product_id=about.id, buyer_id=buyer.id
    )
    await execute(db, "update marketplace.conversations set created_at = $1 where id = $2", at, begun.id)
    for who, minutes in said:
        await messages.create(
            db,
            conversation_id=begun.id,
            content="hola",
            message_type="USER_MESSAGE" if who == "buyer" else "BOT_MESSAGE",
            created_at=at + timedelta(minutes=minutes),
        )


async def test_a_day_on_which_nothing_happened_has_a_report(fresh_db: plainsql.Database) -> None:
    report = await daily_report(fresh_db, day=DAY)
    assert (report.conversations, report.asked, report.answered, report.sales) == (0, 0, 0, 0)
    assert (report.response_rate, report.median_time_to_sale) == (None, None)
    assert (report.revenue, report.categories) == ((), ())
    assert [hour.starts_at.hour for hour in report.hours] == list(range(24))
    assert {(hour.buyer_messages, hour.bot_messages, hour.sales) for hour in report.hours} == {(0, 0, 0)}


async def test_sales_revenue_and_median_by_category(fresh_db: plainsql.Database) -> None:
    for hours, price in [(1, 100), (2, 50), (9, 30)]:
        await sold(fresh_db, NOON, hours, price, category="bikes")
    for hours, price in [(4, 5), (6, 7)]:
        await sold(fresh_db, NOON, hours, price, category="books")
    await sold(fresh_db, NOON, 3, 1)
    await sold(fresh_db, NOON - timedelta(days=1), 1, 9999, category="bikes")
    report = await daily_report(fresh_db, day=DAY)
    lines = [
        (line.category, line.sales, line.revenue, line.median_time_to_sale) for line in report.categories
    ]
    assert lines == [
        ("bikes", 3, Decimal(180), 2 * 3600),
        ("books", 2, Decimal(12), 5 * 3600),
        (None, 1, Decimal(1), 3 * 3600),
    ]
    assert (report.sales, report.revenue) == (6, (Revenue("EUR", Decimal(193)),))
    # The median of all six, not of the three medians: 1, 2, 3, 4, 6 and 9 hours.
    assert report.median_time_to_sale == 3.5 * 3600
    assert [hour.sales for hour in report.hours] == [6 if hour == 12 else 0 for hour in range(24)]


async def test_currencies_are_not_added_up(fresh_db: plainsql.Database) -> None:
    await sold(fresh_db, NOON, 1, 10, category="bikes")
    await sold(fresh_db, NOON, 1, 70, category="bikes", currency="PLN")
    report = await daily_report(fresh_db, day=DAY)
    assert report.revenue == (Revenue("PLN", Decimal(70)), Revenue("EUR", Decimal(10)))
    assert report.sales == 2
    assert [(line.currency, line.revenue) for line in report.categories] == [
        ("PLN", Decimal(70)),
        ("EUR", Decimal(10)),
    ]


async def test_the_response_rate_is_of_those_who_wrote_on_the_day(fresh_db: plainsql.Database) -> None:
    db, bikes = fresh_db, {"category": "bikes"}
    await talk(db, NOON, ("buyer", 0), ("bot", 1), **bikes)
    await talk(db, NOON, ("buyer", 0), ("bot", 1), ("buyer", 2), **bikes)
    await talk(db, NOON, ("buyer", 0), **bikes)
    await talk(db, NOON, ("bot", 0), ("buyer", 1), **bikes)  # the bot wrote first
    await talk(db, NOON, ("buyer", 0), ("bot", 13 * 60), **bikes)  # answered when the day was over
    await talk(db, NOON, ("bot", 0), **bikes)  # the buyer did not write
    await talk(
        db, NOON - timedelta(days=5), ("buyer", 5 * 24 * 60), ("bot", 5 * 24 * 60 + 1), category="books"
    )
    report = await daily_report(db, day=DAY)
    assert (report.conversations, report.asked, report.answered) == (6, 6, 3)
    assert report.response_rate == pytest.approx(3 / 6)
    by = {line.category: (line.conversations, line.asked, line.response_rate) for line in report.categories}
    assert by == {"bikes": (6, 5, pytest.approx(2 / 5)), "books": (0, 1, 1.0)}


async def test_the_day_begins_at_midnight_of_the_time_zone(fresh_db: plainsql.Database) -> None:
    madrid = ZoneInfo("Europe/Madrid")
    for place, (day, hour, minute) in enumerate([(9, 23, 59), (10, 0, 0), (10, 23, 59), (11, 0, 0)]):
        await sold(fresh_db, datetime(2026, 3, day, hour, minute, tzinfo=madrid), 1, 2**place)
    # Midnight in Madrid is 23:00 of the day before in UTC.
    for zone, revenue in {"Europe/Madrid": 6, "UTC": 12, "America/Lima": 12, "Pacific/Auckland": 3}.items():
        report = await daily_report(fresh_db, day=DAY, time_zone=zone)
        assert report.revenue == (Revenue("EUR", Decimal(revenue)),), zone


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
async def test_a_day_on_which_clocks_change_has_its_own_hours(
    fresh_db: plainsql.Database, day: date, hours: int
) -> None:
    madrid = ZoneInfo("Europe/Madrid")
    last = datetime(day.year, day.month, day.day, 23, 30, tzinfo=madrid)
    await sold(fresh_db, last, 1, 1)
    report = await daily_report(fresh_db, day=day, time_zone="Europe/Madrid")
    assert len(report.hours) == hours
    assert [hour.sales for hour in report.hours] == [0] * (hours - 1) + [1]
    assert (report.hours[-1].starts_at.hour, report.sales) == (23, 1)


async def test_the_report_is_of_yesterday_by_default(fresh_db: plainsql.Database) -> None:
    assert (await daily_report(fresh_db)).day == yesterday() == datetime.now(UTC).date() - timedelta(days=1)
    # Twenty-five hours apart: in any hour, two days of the calendar or three.
    ahead, behind = yesterday("Pacific/Kiritimati"), yesterday("Pacific/Pago_Pago")
    assert timedelta(days=1) <= ahead - behind <= timedelta(days=2)


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "", "../etc/passwd", "Europe"])
async def test_a_zone_that_is_none_is_refused(marketplace_db: plainsql.Database, zone: str) -> None:
    with pytest.raises(plainsql.BindError, match="there is no zone"):
        await daily_report(marketplace_db, time_zone=zone)


async def test_the_report_survives_json(fresh_db: plainsql.Database) -> None:
    await sold(fresh_db, NOON, 1, 10, category="bikes")
    await talk(fresh_db, NOON, ("buyer", 0), ("bot", 1))
    report = await daily_report(fresh_db, day=DAY, time_zone="Europe/Madrid")
    again = msgspec.json.decode(msgspec.json.encode(report), type=DailyReport)
    assert again == report


# -- The picture


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_the_picture_is_written_whole(fresh_db: plainsql.Database, tmp_path: Path) -> None:
    for number in range(12):
        await sold(fresh_db, NOON, number, 10 * number, category=f"$ {number} <b> $ category_{number}")
    await talk(fresh_db, NOON, ("buyer", 0), ("bot", 1))
    report = await daily_report(fresh_db, day=DAY, time_zone="Europe/Madrid")
    for name in ("day.png", "day.PNG", "day.svg"):
        chart.draw(report, tmp_path / name)
    png, svg = (tmp_path / "day.png").read_bytes(), (tmp_path / "day.svg").read_text("utf-8")
    assert png.startswith(b"\x89PNG\r\n")
    assert (int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")) == (1600, 1000)
    for text in (
        "Tuesday, 10 March 2026",
        "Europe/Madrid",
        "660 €",
        "answered: 1 of 1 who wrote",
        "5 more",
    ):
        assert text in svg
    assert "$ 11 &lt;b&gt; $ c" in svg
    chart.draw(report, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text("utf-8") == svg
    assert names_in(tmp_path) == ["again.svg", "day.PNG", "day.png", "day.svg"]


async def test_the_picture_of_an_empty_day_says_so(fresh_db: plainsql.Database, tmp_path: Path) -> None:
    chart.draw(await daily_report(fresh_db, day=DAY), tmp_path / "day.svg")
    svg = (tmp_path / "day.svg").read_text("utf-8")
    assert "no messages" in svg
    assert "no sales" in svg


async def test_a_picture_in_another_format_or_place_is_refused(
    fresh_db: plainsql.Database, tmp_path: Path
) -> None:
    report = await daily_report(fresh_db, day=DAY)
    with pytest.raises(plainsql.BindError, match=r"ends in \.png or \.svg"):
        chart.draw(report, tmp_path / "day.pdf")
    with pytest.raises(FileNotFoundError):
        chart.draw(report, tmp_path / "nowhere" / "day.png")
    assert names_in(tmp_path) == []


# -- The format of numbers


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "< 1 min"),
        (29, "< 1 min"),
        (60, "1 min"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
    ]
    + [(86_400, "1 d"), (90_000, "1 d 1 h"), (86_399, "1 d"), (100_000_000, "1,157 d 9 h")],
)
def test_a_length_of_time_is_written_in_two_units(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "-"),
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.5, "50 %"),
        (0.999, "> 99 %"),
        (0.001, "< 1 %"),
        (2 / 3, "67 %"),
    ],
)
def test_only_all_is_a_hundred_percent(share: float | None, text: str) -> None:
    assert percent(share) == text


def test_sums_and_days_are_written_for_people() -> None:
    assert amount(Decimal("1240.50"), "EUR") == "1,240.50 €"
    assert amount(Decimal("1240.00"), "PLN") == "1,240 PLN"
    assert title(date(2026, 11, 20)) == "Friday, 20 November 2026"
