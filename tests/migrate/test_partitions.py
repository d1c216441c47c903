"""Partitions by time: made ahead of time without blocking readers or writers, detached by an option alone."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from plainsql.errors import MigrationError
from plainsql.migrate.partitions import DeclaredPartitions, PartitionRun, ensure_partitions
from plainsql.migrate.partitions.time_ranges import TimeRange, interval_at, uncovered

NOW = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
TABLE = """
create table customers (id int primary key);
insert into customers values (1);
create table events (
  id bigint generated always as identity,
  at timestamptz not null,
  customer_id int references customers (id),
  total int default 5 check (total > 0),
  primary key (id, at)
) partition by range (at);
create index events_customer_idx on events (customer_id, at);
"""
MONTHS = DeclaredPartitions("public", "events", "month", ahead=2, keep=2)

Connection = psycopg.Connection[Any]


@pytest.fixture
def events(fresh_database_url: str) -> Generator[tuple[str, Connection]]:
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(TABLE.encode())
        yield fresh_database_url, connection


def ensure(
    url: str, declared: DeclaredPartitions = MONTHS, now: datetime = NOW, **options: Any
) -> PartitionRun:
    return ensure_partitions(url, [declared], now=now, **options)


def attached(connection: Connection) -> dict[str, str]:
    return dict(
        connection.execute(
            "select c.relname, pg_get_expr(c.relpartbound, c.oid) from pg_inherits as i"
            " inner join pg_class as c on c.oid = i.inhrelid where i.inhparent = 'events'::regclass"
            " order by c.relname"
        ).fetchall()
    )


def test_the_missing_partitions_are_made_once(events: tuple[str, Connection]) -> None:
    url, connection = events
    planned = ensure(url, dry_run=True)
    assert (planned.done, attached(connection)) == (False, {})
    done = ensure(url)
    assert [step.partition for step in done.steps] == [
        "public.events_p20261101",
        "public.events_p20261201",
        "public.events_p20270101",
    ]
    assert done.steps == planned.steps
    assert attached(connection)["events_p20261201"] == (
        "FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2027-01-01 00:00:00+00')"
    )
    assert ensure(url).steps == ()
    assert [step.partition for step in ensure(url, now=datetime(2026, 12, 1, tzinfo=UTC)).steps] == [
        "public.events_p20270201"
    ]
    connection.execute("insert into events (at, customer_id) values (%s, 1)", [NOW])
    assert connection.execute("select id, total from events_p20261101").fetchall() == [(1, 5)]
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("insert into events (at, total) values (%s, 0)", [NOW])
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute("insert into events (at, customer_id) values (%s, 2)", [NOW])


def test_ranges_that_others_have_made_are_left_alone(events: tuple[str, Connection]) -> None:
    url, connection = events
    connection.execute(
        "create table half partition of events for values from ('2026-11-15') to ('2026-12-10 00:00+00')"
    )
    assert [(str(step.start), str(step.end)) for step in ensure(url).steps] == [
        ("2026-11-01 00:00:00+00:00", "2026-11-15 00:00:00+00:00"),
        ("2026-12-10 00:00:00+00:00", "2027-01-01 00:00:00+00:00"),
        ("2027-01-01 00:00:00+00:00", "2027-02-01 00:00:00+00:00"),
    ]
    assert len(attached(connection)) == 4


def test_rows_of_the_default_partition_are_never_lost(events: tuple[str, Connection]) -> None:
    url, connection = events
    connection.execute("create table others partition of events default")
    connection.execute("insert into events (at) values ('2026-12-24'), ('2020-01-01')")
    done = ensure(url)
    assert [step.partition for step in done.refused] == ["public.events_p20261201"]
    assert "the default partition public.others has rows of its range" in done.refused[0].refused
    assert [*attached(connection)] == ["events_p20261101", "events_p20270101", "others"]
    # The constraint spares the scan of the default partition, and is gone afterwards.
    later = next(step for step in done.steps if step.partition == "public.events_p20270101")
    assert any("validate constraint" in text for text in later.sql)
    left = "select conname from pg_constraint where conrelid = 'others'::regclass and contype = 'c'"
    assert not [name for (name,) in connection.execute(left) if name.startswith("plainsql")]
    connection.execute("delete from events where at > '2026-01-01'")
    assert not ensure(url).refused
    assert connection.execute("select count(*) from events").fetchone() == (1,)


def test_the_scan_of_the_default_partition_is_spared(events: tuple[str, Connection]) -> None:
    url, connection = events
    connection.execute("create table others partition of events default")
    connection.execute("insert into events (at) values ('2020-01-01')")
    (step,) = (
        each for each in ensure(url, dry_run=True).steps if each.partition == "public.events_p20270101"
    )
    notices: list[str] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    connection.execute("set client_min_messages = debug1")
    for text in step.sql:
        connection.execute(text.encode())
    assert (
        'updated partition constraint for default partition "others" is implied by existing constraints'
        in (notices)
    )


def test_old_partitions_are_detached_only_if_asked_for(events: tuple[str, Connection]) -> None:
    url, connection = events
    ensure(url, now=datetime(2026, 8, 5, tzinfo=UTC))
    connection.execute("insert into events (at) values ('2026-08-06')")
    ensure(url)
    assert len(attached(connection)) == 6
    done = ensure(url, detach=True)
    assert [(step.action, step.partition) for step in done.steps] == [("detach", "public.events_p20260801")]
    assert done.steps[0].sql[-1].endswith(" concurrently")
    assert "events_p20260801" not in attached(connection)
    assert connection.execute("select count(*) from events_p20260801").fetchone() == (1,)
    assert ensure(url, detach=True).steps == ()


def test_an_interrupted_detachment_is_finished(events: tuple[str, Connection]) -> None:
    url, connection = events
    ensure(url, now=datetime(2026, 8, 5, tzinfo=UTC))
    ensure(url)
    with psycopg.connect(url) as reader:
        reader.execute("select count(*) from events")
        connection.execute("set statement_timeout = '50ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("alter table events detach partition events_p20260801 concurrently")
        connection.execute("reset statement_timeout")
    assert [(step.action, step.partition) for step in ensure(url).steps] == [
        ("finish detach", "public.events_p20260801")
    ]
    assert "events_p20260801" not in attached(connection)


def test_readers_and_writers_of_the_table_do_not_wait(events: tuple[str, Connection]) -> None:
    url, connection = events
    ensure(url)
    with psycopg.connect(url) as writer:
        # Its transaction has locks of a reader and of a writer for as long as the run lasts.
        writer.execute("select count(*) from events")
        writer.execute("insert into events (at) values (%s)", [NOW])
        done = ensure(url, now=datetime(2027, 1, 5, tzinfo=UTC), lock_timeout=0.2, lock_retries=0)
        assert len(done.steps) == 2
    assert len(attached(connection)) == 5


def test_a_lock_that_stays_taken_is_reported(events: tuple[str, Connection]) -> None:
    url, connection = events
    with psycopg.connect(url) as other:
        other.execute("lock table events in share row exclusive mode")
        with pytest.raises(
            MigrationError, match=r"events_p20261101: canceling statement due to lock timeout"
        ):
            ensure(url, lock_timeout=0.05, lock_retries=0)
    assert attached(connection) == {}
    assert not ensure(url).refused


def test_two_runs_at_a_time_make_each_partition_once(events: tuple[str, Connection]) -> None:
    url, connection = events
    runs: list[PartitionRun] = []
    threads = [threading.Thread(target=lambda: runs.append(ensure(url))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(run.steps) for run in runs) == [0, 3]
    assert len(attached(connection)) == 3


def test_a_role_without_the_rights_gets_the_grant(events: tuple[str, Connection]) -> None:
    url, connection = events
    owner, user = (f"partitions_{secrets.token_hex(4)}" for _ in range(2))
    names = {"owner": sql.Identifier(owner), "user": sql.Identifier(user)}
    database = sql.Identifier(connection.info.dbname)
    try:
        for text in (
            "create role {owner}",
            "create role {user} login",
            "grant connect on database {database} to {user}",
            "alter table events owner to {owner}",
            "alter table customers owner to {owner}",
        ):
            connection.execute(sql.SQL(text).format(**names, database=database))
        as_user = make_conninfo(url, user=user)
        with pytest.raises(MigrationError, match="may not make partitions") as refused:
            ensure(as_user)
        assert refused.value.hint is not None
        connection.execute(sql.SQL("grant {owner} to {user}").format(**names))
        with pytest.raises(MigrationError, match="may not create tables in the schema public") as refused:
            ensure(as_user)
        assert refused.value.hint == f'grant create on schema "public" to "{owner}"'
        connection.execute(sql.SQL("grant create on schema public to {owner}").format(**names))
        assert len(ensure(as_user).steps) == 3
        owners = connection.execute(
            "select distinct pg_get_userbyid(relowner)::text from pg_class where relname like 'events_p%'"
        ).fetchall()
        assert owners == [(owner,)]
    finally:
        connection.execute(sql.SQL("drop owned by {owner}, {user} cascade").format(**names))
        connection.execute(sql.SQL("drop role {owner}, {user}").format(**names))


def test_a_member_that_does_not_inherit_makes_partitions(events: tuple[str, Connection]) -> None:
    url, connection = events
    owner, user = (f"partitions_{secrets.token_hex(4)}" for _ in range(2))
    names = {"owner": sql.Identifier(owner), "user": sql.Identifier(user)}
    database = sql.Identifier(connection.info.dbname)
    connection.execute("create table others partition of events default")
    connection.execute("insert into events (at) values ('2020-01-01')")
    try:
        for text in (
            "create role {owner}",
            "create role {user} login noinherit in role {owner}",
            "grant connect on database {database} to {user}",
            "grant create on schema public to {owner}",
            "alter table events owner to {owner}",
            "alter table others owner to {owner}",
            "alter table customers owner to {owner}",
        ):
            connection.execute(sql.SQL(text).format(**names, database=database))
        assert len(ensure(make_conninfo(url, user=user)).steps) == 3
    finally:
        connection.execute(sql.SQL("drop owned by {owner}, {user} cascade").format(**names))
        connection.execute(sql.SQL("drop role {owner}, {user}").format(**names))


def test_a_partition_hides_its_rows_if_the_table_does(events: tuple[str, Connection]) -> None:
    url, connection = events
    reader = sql.Identifier(f"partitions_{secrets.token_hex(4)}")
    connection.execute("alter table events enable row level security")
    connection.execute("create policy events_shown on events using (total = 5)")
    connection.execute(sql.SQL("create role {}").format(reader))
    try:
        connection.execute(sql.SQL("alter default privileges grant select on tables to {}").format(reader))
        connection.execute(sql.SQL("grant select on events to {}").format(reader))
        ensure(url)
        connection.execute("insert into events (at, total) values (%s, 5), (%s, 6)", [NOW, NOW])
        with connection.transaction():
            connection.execute(sql.SQL("set local role {}").format(reader))
            assert connection.execute("select total from events").fetchall() == [(5,)]
            assert connection.execute("select total from events_p20261101").fetchall() == []
    finally:
        connection.execute(sql.SQL("drop owned by {} cascade").format(reader))
        connection.execute(sql.SQL("drop role {}").format(reader))


def test_bounds_that_are_no_whole_times_are_kept(events: tuple[str, Connection]) -> None:
    url, connection = events
    connection.execute(
        "create table half partition of events"
        " for values from ('2026-10-31 18:30:00+00') to ('2026-11-15 10:00:00.25+00')"
    )
    connection.execute(
        "create table far partition of events for values from ('2027-01-20') to ('12000-01-01')"
    )
    assert [step.partition for step in ensure(url).steps] == [
        "public.events_p20261115_10",
        "public.events_p20261201",
        "public.events_p20270101",
    ]
    bounds = attached(connection)
    assert bounds["events_p20261115_10"].startswith("FOR VALUES FROM ('2026-11-15 10:00:00.25+00')")
    assert bounds["events_p20270101"].endswith("TO ('2027-01-20 00:00:00+00')")
    assert ensure(url).steps == ()


def test_names_are_quoted_and_cut_to_63_bytes(events: tuple[str, Connection]) -> None:
    url, connection = events
    schema, table = 'The "Shop"', "Ereignisse mit ä " + "ä" * 20
    name = sql.Identifier(schema, table)
    connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
    connection.execute(
        sql.SQL('create table {} ("At" timestamptz not null) partition by range ("At")').format(name)
    )
    declared = DeclaredPartitions(schema, table, "hour", 1)
    made = [step.partition.removeprefix(f"{schema}.") for step in ensure(url, declared).steps]
    assert [each[-13:] for each in made] == ["_p20261130_23", "_p20261201_00"]
    assert all(len(each.encode()) <= 63 for each in made)
    assert ensure(url, declared).steps == ()


def test_other_tables_are_refused(events: tuple[str, Connection]) -> None:
    url, connection = events
    connection.execute("create table by_hash (id int) partition by hash (id)")
    for table, text in (
        ("nothing", "there is no such table"),
        ("customers", "got no partitions"),
        ("by_hash", "got integer by hash"),
    ):
        with pytest.raises(MigrationError, match=text):
            ensure(url, DeclaredPartitions("public", table, "day"))
    connection.execute("create table days (day date not null) partition by range (day)")
    with pytest.raises(MigrationError, match="expected partitions of a day or more, as day is a date"):
        ensure(url, DeclaredPartitions("public", "days", "hour"))
    connection.execute(
        "create table part partition of days for values from ('2026-01-01') to ('2026-02-01')"
        " partition by hash (day)"
    )
    with pytest.raises(MigrationError, match=r"its latest partition public\.part has partitions of its own"):
        ensure(url, DeclaredPartitions("public", "days", "month"))


def test_times_without_zone_and_dates_have_bounds_of_their_type(events: tuple[str, Connection]) -> None:
    url, connection = events
    connection.execute("create table days (day date not null) partition by range (day)")
    connection.execute("create table hours (at timestamp not null) partition by range (at)")
    run = ensure_partitions(
        url,
        [DeclaredPartitions("public", "days", "week", 1), DeclaredPartitions("public", "hours", "hour", 1)],
        now=NOW,
    )
    assert [step.partition for step in run.steps] == [
        "public.days_p20261130",
        "public.days_p20261207",
        "public.hours_p20261130_23",
        "public.hours_p20261201_00",
    ]
    connection.execute("insert into days values ('2026-12-13')")
    connection.execute("insert into hours values ('2026-12-01 00:59')")


def test_intervals_begin_at_whole_times_of_utc() -> None:
    starts = {
        each: str(interval_at(NOW, each))[:16] for each in ("hour", "day", "week", "month", "quarter", "year")
    }
    assert starts == {
        "hour": "2026-11-30 23:00",
        "day": "2026-11-30 00:00",
        "week": "2026-11-30 00:00",
        "month": "2026-11-01 00:00",
        "quarter": "2026-10-01 00:00",
        "year": "2026-01-01 00:00",
    }
    assert str(interval_at(NOW, "month", 2))[:10] == "2027-01-01"
    assert str(interval_at(NOW, "month", -11))[:10] == "2025-12-01"


def test_uncovered_parts_are_those_between_the_others() -> None:
    def at(day: int) -> datetime:
        return datetime(2026, 1, day, tzinfo=UTC)

    whole = TimeRange(at(5), at(10))
    assert uncovered(whole, []) == [whole]
    assert uncovered(whole, [TimeRange(None, None)]) == []
    assert uncovered(whole, [TimeRange(at(1), at(5)), TimeRange(at(10), None)]) == [whole]
    assert uncovered(whole, [TimeRange(None, at(6)), TimeRange(at(8), at(9))]) == [
        TimeRange(at(6), at(8)),
        TimeRange(at(9), at(10)),
    ]
