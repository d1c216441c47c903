"""Positions, their tokens, and what a scope of reads and writes requires of a replica."""

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainsql.database.caching.server_identity import ServerIdentity
from plainsql.database.replicas.primary_watch import PrimaryWatch
from plainsql.replication.positions import NEWEST, NOTHING, Position, PrimaryReport, merged
from plainsql.replication.read_scope import ReadScope

TIMELINES = st.integers(0, 255)
LSNS = st.integers(0, 2**40)


async def no_pool(*_: object) -> Any:
    raise AssertionError("nothing is opened")


@given(TIMELINES, st.integers(1, 2**56 - 1))
def test_a_token_is_eight_bytes_and_holds_the_position(timeline: int, lsn: int) -> None:
    token = Position(timeline, lsn).token()
    assert len(token) == 8
    assert token == NEWEST or Position.of_token(token) == (timeline, lsn)


def test_a_position_that_fits_no_token_becomes_the_newest_one() -> None:
    assert Position(1, 2**56).token() == NEWEST


def test_the_header_of_a_page_without_a_record_is_no_part_of_a_position() -> None:
    segment = 2**24
    for lsn, end in (
        (3 * 8192 + 24, 3 * 8192),
        (3 * 8192 + 32, 3 * 8192 + 32),
        (3 * 8192 + 40, 3 * 8192 + 40),
        (4 * segment + 40, 4 * segment),
        (4 * segment + 24, 4 * segment + 24),
    ):
        assert Position.of_insertion(1, lsn, 8192, segment).lsn == end
    in_a_larger_page = 3 * 8192 + 24
    assert Position.of_insertion(1, in_a_larger_page, 16384, segment).lsn == in_a_larger_page
    assert Position.of(257, 8).timeline == 1


@given(st.lists(st.tuples(TIMELINES, LSNS), min_size=1))
def test_positions_of_one_timeline_are_merged_into_the_last(given: list[tuple[int, int]]) -> None:
    known: Position | None = None
    for _, lsn in given:
        known = merged(known, Position(7, lsn))
    assert known == (7, max(lsn for _, lsn in given))


def test_a_newer_timeline_replaces_an_older_one_also_after_255_of_them() -> None:
    assert merged(Position(1, 900), Position(2, 100)) == (2, 100)
    assert merged(Position(2, 100), Position(1, 900)) == (2, 100)
    assert merged(Position(255, 900), Position(0, 100)) == (0, 100)


def primary_at(sent_at: float, lsn: int, timeline: int = 1) -> PrimaryReport:
    return PrimaryReport(sent_at, 1, Position(timeline, lsn))


def test_a_write_is_unresolved_until_the_primary_is_polled_after_it() -> None:
    scope = ReadScope()
    before = monotonic()
    scope.saw_primary()
    assert scope.token() == NEWEST
    assert not scope.resolve(None)
    assert not scope.resolve(primary_at(before, 500))
    assert scope.resolve(primary_at(monotonic(), 600))
    assert scope.floor == (1, 600)
    assert scope.token() == Position(1, 600).token()


def test_a_former_primary_resolves_nothing() -> None:
    scope = ReadScope(Position(2, 100))
    scope.saw_primary()
    assert not scope.resolve(primary_at(monotonic(), 900, timeline=1))
    assert scope.floor == (2, 100)


def test_a_scope_goes_on_from_its_token() -> None:
    assert ReadScope.of_token(None).token() == NOTHING
    assert ReadScope.of_token(NOTHING).floor is None
    assert ReadScope.of_token(Position(3, 77).token()).floor == (3, 77)
    assert not ReadScope.of_token(NEWEST).is_resolved


def test_a_token_from_the_future_is_limited_to_what_the_primary_has() -> None:
    scope = ReadScope.of_token(Position(1, 10**15).token())
    assert scope.resolve(primary_at(monotonic() - 60, 700))
    assert scope.floor == (1, 10**15), "that position may be older than the token"
    scope.resolve(primary_at(monotonic(), 800))
    assert scope.floor == (1, 800)
    scope = ReadScope.of_token(Position(1, 700).token())
    before_the_write = primary_at(monotonic(), 750)
    scope.reach(Position(1, 900), monotonic())
    scope.resolve(before_the_write)
    assert scope.floor == (1, 900), "the write that came after the token"
    of_other = ReadScope.of_token(Position(9, 10**15).token())
    of_other.resolve(primary_at(monotonic(), 800))
    assert of_other.floor == (9, 10**15), "no replica of this timeline is proved to have it"


@pytest.mark.parametrize("token", [NEWEST, Position(3, 77).token()])
def test_a_tenants_scope_begins_with_what_the_database_has_seen(token: bytes) -> None:
    scope = ReadScope.of_token(token).copy()
    assert scope.token() == token
    assert not scope.is_monotonic


def last_of(watch: PrimaryWatch) -> PrimaryReport | None:
    return watch.last


async def test_a_server_on_a_newer_timeline_has_the_primary_looked_for() -> None:
    discarded: list[float] = []
    watch = PrimaryWatch(
        no_pool, ServerIdentity(lambda: None), by_transaction=False, discard=discarded.append
    )
    watch._history.last, watch.system = primary_at(monotonic(), 700, timeline=255), 7
    watch.was_replaced(255, 7)
    watch.was_replaced(254, 7)
    watch.was_replaced(0, 8)
    assert not discarded
    watch.was_replaced(0, 7)
    assert len(discarded) == 1
    assert last_of(watch) is None, "what the former primary has said proves nothing"
    # Its address leads to the former one still: the next poll is not immediate.
    watch._history.last = primary_at(monotonic(), 700, timeline=255)
    watch.was_replaced(0, 7)
    assert len(discarded) == 1
