"""Dates, times and intervals, the infinite ones too."""

# ruff: noqa: DTZ001, DTZ901 (timestamps without a zone are a type of PostgreSQL)

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plainsql
from plainsql.query import Binder, ManyQuery
from plainsql.types import Range
from tests.types.both import Both

property_test = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# A day within the ends: what an offset moves stays a datetime.
moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29))
offsets = st.builds(lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-15 * 60, 15 * 60))
intervals = st.timedeltas(timedelta(days=-900_000), timedelta(days=900_000))


@property_test
@given(st.dates())
def test_dates_come_back(both: Both, day: date) -> None:
    both.round_trip("date", day)


@property_test
@given(st.datetimes())
def test_timestamps_come_back_to_the_microsecond(both: Both, moment: datetime) -> None:
    both.round_trip("timestamp", moment)


@property_test
@given(moments, offsets)
def test_timestamps_with_a_zone_come_back_in_utc(both: Both, moment: datetime, zone: timezone) -> None:
    sent = moment.replace(tzinfo=zone)
    back = both.sent_back("timestamptz", sent)
    assert back == sent
    assert back.tzinfo is UTC


@pytest.mark.parametrize("zone", ["Europe/Amsterdam", "Asia/Kathmandu", "America/St_Johns"])
def test_historical_offsets_of_zones_are_used(both: Both, zone: str) -> None:
    for year in (1890, 1936, 1999):
        sent = datetime(year, 7, 1, 12, 30, 15, 123456, ZoneInfo(zone))
        assert both.sent_back("timestamptz", sent) == sent


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "Europe/Amsterdam"])
def test_the_zone_of_the_session_makes_no_difference(both: Both, zone: str) -> None:
    both.over_psycopg.connection.execute("select set_config('timezone', %s, false)", [zone])
    try:
        for year in (1, 1890, 2026, 9998):
            sent = datetime(year, 6, 1, 23, 59, 59, 999999, UTC)
            assert both.sent_back("timestamptz", sent) == sent
    finally:
        both.over_psycopg.connection.execute("reset timezone")


@property_test
@given(st.times())
def test_times_come_back(both: Both, clock: time) -> None:
    both.round_trip("time", clock)


@property_test
@given(st.times(), offsets)
def test_times_with_an_offset_come_back(both: Both, clock: time, zone: timezone) -> None:
    both.round_trip("timetz", clock.replace(tzinfo=zone))


@property_test
@given(intervals)
def test_intervals_come_back(both: Both, interval: timedelta) -> None:
    both.round_trip("interval", interval)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 month", timedelta(days=30)),
        ("1 year", timedelta(days=365)),
        ("1 year 2 months 3 days 04:05:06.789", timedelta(365 + 60 + 3, 4 * 3600 + 5 * 60 + 6.789)),
        ("-1 month 3 days -04:05:06.000001", timedelta(-27, -(4 * 3600 + 5 * 60 + 6), -1)),
        ("-25 months", -timedelta(2 * 365 + 30)),
        ("1000:00:00.5", timedelta(hours=1000, seconds=0.5)),
        ("0", timedelta(0)),
    ],
)
def test_a_month_counts_30_days_and_a_year_365(both: Both, text: str, expected: timedelta) -> None:
    assert both.read(f"'{text}'", "interval") == expected


@pytest.mark.parametrize(
    ("type_name", "greatest", "least"),
    [
        ("date", date.max, date.min),
        ("timestamp", datetime.max, datetime.min),
        ("timestamptz", datetime.max, datetime.min),
    ],
)
def test_infinity_is_the_greatest_value_of_python(
    both: Both, type_name: str, greatest: object, least: object
) -> None:
    for text, value in [("infinity", greatest), ("-infinity", least)]:
        assert both.read(f"'{text}'", type_name) == value
        assert both.value(f"select (:a::{type_name})::text", a=value) == text


def test_infinity_is_read_in_containers_and_next_to_other_values(both: Both) -> None:
    moment = datetime(2026, 11, 21, tzinfo=UTC)
    both.round_trip("timestamptz[]", [moment, datetime.max, None, datetime.min])
    both.round_trip("date[]", [date(2026, 11, 21), date.max, date.min])
    assert tuple(both.sent_back("visit", (datetime.max, date.min))) == (datetime.max, date.min)
    assert both.sent_back("tstzrange", Range(datetime.min, moment)) == Range(datetime.min, moment)
    rows: ManyQuery[..., Any] = ManyQuery(
        "test.types.values",
        "sql/test/types/values.sql",
        1,
        "select v from unnest(array[timestamptz '2026-11-21Z', :a, null, '2026-11-21Z']) as v",
        Binder(("a",), {}, {}, None),
        object,
    )
    for end in (datetime.max, moment, datetime.min):
        expected = [moment, end, None, moment]
        assert both.runner.run(rows(both.over_asyncpg, a=end)) == rows(both.over_psycopg, a=end) == expected


@pytest.mark.parametrize(
    ("zone", "moment"),
    [("America/New_York", "9999-12-31 23:59:59-05"), ("Asia/Tokyo", "0001-01-01 00:00:00+09")],
)
@pytest.mark.parametrize("sql", ["{0}", "array[{0}]", "row({0}, null)::visit", "tstzrange({0}, {0}, '[]')"])
def test_a_moment_outside_of_pythons_years_in_utc_is_refused(
    both: Both, zone: str, moment: str, sql: str
) -> None:
    # psycopg would return it in the session's zone, where its year is one of Python's.
    both.over_psycopg.connection.execute("select set_config('timezone', %s, false)", [zone])
    try:
        for error in both.errors(f"select {sql.format(f'timestamptz {moment!r}')}"):
            assert isinstance(error, plainsql.DecodeError), repr(error)
    finally:
        both.over_psycopg.connection.execute("reset timezone")


def test_a_date_is_midnight_as_a_timestamp(both: Both) -> None:
    assert both.sent_back("timestamp", date(2026, 11, 21)) == datetime(2026, 11, 21)
    assert both.sent_back("timestamptz", date(2026, 11, 21)) == datetime(2026, 11, 21).astimezone()


def test_a_time_with_a_zone_is_no_timestamp_without_one(both: Both) -> None:
    assert "expected timestamp, got datetime" in both.refusals(
        "select :a::timestamp", a=datetime(2026, 11, 21, tzinfo=UTC)
    )


@pytest.mark.parametrize(
    ("type_name", "text"),
    [
        ("date", "0044-03-15 BC"),
        ("date", "10000-01-01"),
        ("timestamp", "0044-03-15 12:00 BC"),
        ("timestamptz", "294276-12-31 00:00+00"),
        ("time", "24:00:00"),
        ("interval", "infinity"),
        ("interval", "170000000 years"),
    ],
)
def test_a_value_that_python_does_not_have_is_a_decode_error_with_a_hint(
    both: Both, type_name: str, text: str
) -> None:
    for error in both.errors(f"select '{text}'::{type_name}"):
        assert isinstance(error, plainsql.DecodeError), repr(error)
        assert "test.types.value" in error.message
        assert error.hint is not None
        assert "to text" in error.hint
    # Neither connection is broken by it.
    assert both.value("select 1") == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [("datestyle", "German"), ("datestyle", "SQL, MDY"), ("intervalstyle", "sql_standard")],
)
def test_a_style_that_was_set_in_the_session_is_refused_not_misread(
    both: Both, setting: str, value: str
) -> None:
    connection = both.over_psycopg.connection
    sql = "select '2026-02-03'::date" if setting == "datestyle" else "select '1 year 2 months'::interval"
    connection.execute("select set_config(%s, %s, false)", [setting, value])
    try:
        with pytest.raises(plainsql.DecodeError):
            both.value(sql)
    finally:
        connection.execute(f"reset {setting}".encode())
    both.value(sql)


@property_test
@given(intervals, st.sampled_from(["sql_standard", "iso_8601", "postgres_verbose"]))
def test_an_interval_is_sent_the_same_in_every_style(both: Both, interval: timedelta, style: str) -> None:
    connection = both.over_psycopg.connection
    connection.execute("select set_config('intervalstyle', %s, false)", [style])
    try:
        assert (
            both.value(
                "select :a::interval = make_interval(days => :b, secs => :c)",
                a=interval,
                b=interval.days,
                c=interval.seconds + interval.microseconds / 1e6,
            )
            is True
        )
    finally:
        connection.execute("reset intervalstyle")
