"""The daily maintenance: delete old sessions, archive conversations, recompute trust scores, report.

Each step runs in batches, each batch in a transaction of its own. No lock is held for long, and an
interrupted run continues where it stopped when it is run again. Two concurrent runs share the work.
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
    """The numbers of a run over all buyers."""

    examined: int
    changed: int


class Daily(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the daily maintenance."""

    deleted_sessions: int
    archived_conversations: int
    trust_scores: TrustScores
    report: DailyReport


async def delete_old_sessions(
    db: AsyncExecutor, *, days: int = KEEP_SESSIONS_DAYS, batch: int = BATCH, advance: Advance | None = None
) -> int:
    """Delete the bot sessions that were last active more than so many days ago; return their number.

    Args:
        db: the executor; in a transaction, all batches are one.
        days: the least age of a session, 0 or more.
        batch: the number of sessions that one statement deletes, 1 to 10,000.
        advance: called after each batch, with the number of its rows.

    Raises ``BindError`` if an argument is out of its range.
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
    """Archive the conversations that were completed more than so many days ago; return their number.

    The arguments and the errors are those of ``delete_old_sessions``.
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

    The arguments and the errors are those of ``delete_old_sessions``.
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
    """Run all steps, and report on a day: yesterday unless another is given.

    Raises ``BindError`` if an argument is out of its range; in that case nothing is changed.
    """
    # Arguments are checked before rows are deleted.
    cleanup.bot_sessions.compiled.bind((), {"days": session_days, "limit": batch})
    cleanup.conversations.compiled.bind((), {"days": archive_days, "limit": batch})
    # The report comes first: it raises for an unknown time zone before rows are deleted.
    report = await daily_report(db, day=day, time_zone=time_zone)
    return Daily(
        deleted_sessions=await delete_old_sessions(db, days=session_days, batch=batch),
        archived_conversations=await archive_conversations(db, days=archive_days, batch=batch),
        trust_scores=await recompute_trust_scores(db, batch=batch),
        report=report,
    )
