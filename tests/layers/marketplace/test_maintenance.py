"""The daily maintenance: in batches, by concurrent runs, and again after an interruption."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

import plainsql
from plainsql.layers.marketplace import bot_sessions, conversations, maintenance
from plainsql.layers.marketplace.maintenance import TrustScores
from tests.layers.marketplace.stall import execute, open_stall

NOW = datetime.now(UTC)


async def old_sessions(db: plainsql.Database, *days: float) -> None:
    for number, age in enumerate(days):
        at = NOW - timedelta(days=age)
        await bot_sessions.create(
            db, session_key=f"s{number}", started_at=at - timedelta(days=90), last_activity_at=at
        )


async def old_deals(db: plainsql.Database, count: int, days: float) -> None:
    stall = await open_stall(db)
    await execute(
        db,
        """insert into marketplace.conversations (
             wallapop_chat_id, product_id, buyer_id, status, completed_at
           )
           select gen_random_uuid()::text, $2, $3, 'COMPLETED', now() - $1 * interval '1 day'
           from generate_series(1, $4::int)""",
        days,
        stall.product.id,
        stall.buyer.id,
        count,
    )


async def test_sessions_that_were_silent_for_a_week_are_deleted(fresh_db: plainsql.Database) -> None:
    # The last activity counts: all of these began more than a month ago.
    await old_sessions(fresh_db, 0, 6.9, 7.1, 8, 300)
    assert await maintenance.delete_old_sessions(fresh_db) == 3
    assert await bot_sessions.count(fresh_db) == 2
    assert await maintenance.delete_old_sessions(fresh_db) == 0
    assert await maintenance.delete_old_sessions(fresh_db, days=0) == 2


async def test_batches_cover_all_rows_and_are_reported(fresh_db: plainsql.Database) -> None:
    await old_sessions(fresh_db, *[30.0] * 7)
    told: list[int] = []
    assert await maintenance.delete_old_sessions(fresh_db, batch=3, advance=told.append) == 7
    assert told == [3, 3, 1]


async def test_deals_of_more_than_a_month_ago_are_archived(fresh_db: plainsql.Database) -> None:
    await old_deals(fresh_db, 5, 31)
    await old_deals(fresh_db, 2, 29)
    assert await maintenance.archive_conversations(fresh_db, batch=2) == 5
    assert await conversations.count(fresh_db, status="ARCHIVED") == 5
    assert await conversations.count(fresh_db, status="COMPLETED") == 2
    # The two stalls' own conversations are active, and stay so.
    assert await conversations.count(fresh_db, status="ACTIVE") == 2
    (archived, *_) = [row for row in await conversations.list(fresh_db) if row.status == "ARCHIVED"]
    assert archived.completed_at is not None


async def test_concurrent_runs_share_the_work(fresh_db: plainsql.Database) -> None:
    await old_deals(fresh_db, 300, 40)
    done = await asyncio.gather(*(maintenance.archive_conversations(fresh_db, batch=10) for _ in range(4)))
    # A run that finds only rows locked by others ends early.
    left = await maintenance.archive_conversations(fresh_db)
    assert sum(done) + left == 300
    assert await conversations.count(fresh_db, status="ARCHIVED") == 300


@pytest.mark.parametrize("days", [-1, 36_501])
async def test_days_that_are_none_are_refused(marketplace_db: plainsql.Database, days: int) -> None:
    with pytest.raises(plainsql.BindError, match=r"days: .* expected 0\.\.36500"):
        await maintenance.delete_old_sessions(marketplace_db, days=days)
    with pytest.raises(plainsql.BindError):
        await maintenance.archive_conversations(marketplace_db, days=days)
    with pytest.raises(plainsql.BindError):
        await maintenance.recompute_trust_scores(marketplace_db, batch=0)


async def test_daily_runs_all_steps(fresh_db: plainsql.Database) -> None:
    await old_sessions(fresh_db, 8)
    await old_deals(fresh_db, 3, 31)
    await execute(fresh_db, "update marketplace.buyers set is_verified = true")
    done = await maintenance.daily(fresh_db, day=date(2026, 1, 1), time_zone="Europe/Madrid")
    assert (done.deleted_sessions, done.archived_conversations) == (1, 3)
    assert done.trust_scores == TrustScores(examined=1, changed=1)
    assert (done.report.day, done.report.time_zone) == (date(2026, 1, 1), "Europe/Madrid")


async def test_daily_changes_nothing_if_an_argument_is_wrong(fresh_db: plainsql.Database) -> None:
    await old_sessions(fresh_db, 8)
    cases: list[dict[str, Any]] = [{"time_zone": "Europe/Nowhere"}, {"archive_days": -1}]
    for wrong in cases:
        with pytest.raises(plainsql.BindError):
            await maintenance.daily(fresh_db, **wrong)
    assert await bot_sessions.count(fresh_db) == 1
