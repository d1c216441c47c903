"""The rows of a marketplace that ``plainsql db cleanup`` removes and archives."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layers.cleaning import Cleanup, cleanup_of

LEFT = """
select
  (select count(*) from marketplace.bot_sessions),
  (select count(*) from marketplace.conversations where status = 'ARCHIVED'),
  (select count(*) from marketplace.conversations)
"""


@pytest.fixture
def cleanup(
    plainsql_fresh_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Cleanup:
    """A bot session and four conversations on each of the last 50 days, one of the four completed."""
    cleanup = cleanup_of("marketplace", plainsql_fresh_database_url, tmp_path, monkeypatch, capfd)
    cleanup.run(
        """
        insert into marketplace.bot_sessions (session_key, started_at, last_activity_at)
        select 's' || n, now() - interval '90 days', now() - n * interval '1 day' + interval '1 hour'
        from generate_series(1, 50) as n;
        insert into marketplace.conversations (
          wallapop_chat_id, product_id, buyer_id, status, completed_at, created_at
        )
        select
          status || n, 1, 1, status::marketplace.conversation_status,
          case status when 'COMPLETED' then now() - n * interval '1 day' + interval '1 hour' end,
          now() - interval '90 days'
        from generate_series(1, 50) as n
        cross join unnest(array['COMPLETED', 'ACTIVE', 'CANCELLED', 'BLOCKED']) as status
        """
    )
    return cleanup


def test_sessions_of_a_week_ago_go_and_deals_of_a_month_ago_are_archived(cleanup: Cleanup) -> None:
    assert cleanup() == {"bot_sessions": 43, "conversations": 20}
    assert cleanup.rows(LEFT) == [(7, 20, 200)]
    assert cleanup() == {"bot_sessions": 0, "conversations": 0}


def test_any_batch_size_and_age_removes_the_same_rows(cleanup: Cleanup) -> None:
    assert cleanup("--batch", "3", "--days", "40") == {"bot_sessions": 10, "conversations": 10}
    assert cleanup("--batch", "10000", "--days", "0") == {"bot_sessions": 40, "conversations": 40}
    assert cleanup.rows(LEFT) == [(0, 50, 200)]


def test_a_dry_run_reports_the_same_and_changes_nothing(cleanup: Cleanup) -> None:
    assert cleanup("--dry-run") == {"bot_sessions": 43, "conversations": 20}
    assert cleanup.rows(LEFT) == [(50, 0, 200)]
