"""What is to be done once a day: forget, archive, recompute, report.

Everything is done in batches, each a transaction of its own: no long lock, and what is interrupted goes on
where it was when it is run again. Two runs at once share the work.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import msgspec

from plainsql.executors import AsyncExecutor
from plainsql.layers.marketplace import buyers, cleanup
from plainsql.layers.marketplace.daily_report import DailyReport, daily_report

__all__ = [
    "Daily",
    "TrustScores",
    "archive_conversations",
    "daily",
    "delete_old_sessions",
    "recompute_trust_scores",
]

BATCH = 1000
KEEP_SESSIONS_DAYS = 7
ARCHIVE_AFTER_DAYS = 30

Advance = Callable[[int], object]


class TrustScores(msgspec.Struct, frozen=True):
    """What a run over all buyers found."""

    examined: int
    changed: int


class Daily(msgspec.Struct, frozen=True, kw_only=True):
    """What the daily run did."""

    deleted_sessions: int
    archived_conversations: int
    trust_scores: TrustScores
    report: DailyReport


async def delete_old_sessions(
    db: AsyncExecutor, *, days: int = KEEP_SESSIONS_DAYS, batch: int = BATCH, advance: Advance | None = None
) -> int:
    """Delete the bot sessions that were last heard of more than so many days ago. Return how many.

    Args:
        db: what runs it; not a transaction, or all batches are one.
        days: their least age, 0 or more.
        batch: how many are deleted at once, 1 to 10,000.
        advance: told of each batch how many it were.

    Raises ``BindError`` where an argument is out of its range.
    """
    total = 0
    while True:
        done = await cleanup.bot_sessions(db, days=days, limit=batch)
        total += done
        if advance is not None:
            advance(done)
        if done < batch:
            return total


async def archive_conversations(
    db: AsyncExecutor, *, days: int = ARCHIVE_AFTER_DAYS, batch: int = BATCH, advance: Advance | None = None
) -> int:
    """Archive the conversations that were completed more than so many days ago. Return how many.

    The arguments and what is raised are those of ``delete_old_sessions``.
    """
    total = 0
    while True:
        done = await cleanup.conversations(db, days=days, limit=batch)
        total += done
        if advance is not None:
            advance(done)
        if done < batch:
            return total


async def recompute_trust_scores(
    db: AsyncExecutor, *, batch: int = BATCH, advance: Advance | None = None
) -> TrustScores:
    """Recompute the trust scores of all buyers, and write those that changed.

    The arguments and what is raised are those of ``delete_old_sessions``.
    """
    examined = changed = after = 0
    while True:
        done = await buyers.recompute_trust_scores(db, after_id=after, limit=batch)
        examined, changed = examined + done.examined, changed + done.changed
        if advance is not None:
            advance(done.examined)
        if done.last_id is None or done.examined < batch:
            return TrustScores(examined, changed)
        after = done.last_id


async def daily(
    db: AsyncExecutor,
    *,
    session_days: int = KEEP_SESSIONS_DAYS,
    archive_days: int = ARCHIVE_AFTER_DAYS,
    batch: int = BATCH,
    day: date | None = None,
    time_zone: str = "UTC",
) -> Daily:
    """Do all of it, and report on a day: yesterday unless another is given.

    Raises ``BindError`` where an argument is out of its range; then nothing was done.
    """
    # Before anything is deleted.
    cleanup.bot_sessions.compiled.bind((), {"days": session_days, "limit": batch})
    cleanup.conversations.compiled.bind((), {"days": archive_days, "limit": batch})
    # First: a zone that does not exist is to be told before anything is deleted.
    report = await daily_report(db, day=day, time_zone=time_zone)
    return Daily(
        deleted_sessions=await delete_old_sessions(db, days=session_days, batch=batch),
        archived_conversations=await archive_conversations(db, days=archive_days, batch=batch),
        trust_scores=await recompute_trust_scores(db, batch=batch),
        report=report,
    )
