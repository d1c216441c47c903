"""The rows of a WhatsApp store that ``plainsql db cleanup`` removes, of all tenants or of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layers.cleaning import Cleanup, cleanup_of
from tests.layers.isolation import application_url

A, B = "aaaaaaaa-0000-4000-8000-000000000000", "bbbbbbbb-0000-4000-8000-000000000000"
LEFT = """
select left(tenant_id::text, 1), count(*), count(*) filter (where processed)
from whatsapp.webhook_events group by tenant_id order by tenant_id
"""


@pytest.fixture
def cleanup(
    plainsql_fresh_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Cleanup:
    """Two tenants with a processed and an unprocessed event on each of the last 50 days."""
    cleanup = cleanup_of("whatsapp", plainsql_fresh_database_url, tmp_path, monkeypatch, capfd)
    cleanup.run(
        f"""
        insert into whatsapp.webhook_events (
          tenant_id, event_type, payload, processed, processed_at, next_attempt_at, created_at
        )
        select
          tenant, 'messages', jsonb_build_array(n, done), done,
          case when done then now() - n * interval '1 day' + interval '1 hour' end,
          case when not done then now() end,
          now() - interval '90 days'
        from generate_series(1, 50) as n
        cross join unnest(array['{A}', '{B}']::uuid[]) as tenant
        cross join unnest(array[true, false]) as done
        """
    )
    return cleanup


def test_events_processed_a_month_ago_are_removed_of_every_tenant(cleanup: Cleanup) -> None:
    assert cleanup() == {"webhook_events": 40}
    assert cleanup.rows(LEFT) == [("a", 80, 30), ("b", 80, 30)]
    assert cleanup() == {"webhook_events": 0}


def test_one_tenant_is_cleaned_up_even_if_the_role_sees_all(cleanup: Cleanup) -> None:
    assert cleanup("--tenant", A, "--days", "45", "--batch", "2") == {"webhook_events": 5}
    assert cleanup.rows(LEFT) == [("a", 95, 45), ("b", 100, 50)]


def test_a_dry_run_reports_the_same_and_changes_nothing(cleanup: Cleanup) -> None:
    assert cleanup("--dry-run", "--days", "7") == {"webhook_events": 86}
    assert cleanup("--dry-run", "--tenant", B) == {"webhook_events": 20}
    assert cleanup.rows(LEFT) == [("a", 100, 50), ("b", 100, 50)]


def test_the_application_cleans_up_the_tenant_that_it_names_and_no_other(cleanup: Cleanup) -> None:
    with application_url(cleanup.url, "whatsapp_app") as url:
        code, _, said = cleanup.ended(url=url)
        assert code == 2
        assert "tenants.sql: query would be affected by row-level security" in said
        assert "HINT: connect as a role that may change every tenant's rows, or name one: --tenant" in said
        assert cleanup("--tenant", B, url=url) == {"webhook_events": 20}
    assert cleanup.rows(LEFT) == [("a", 100, 50), ("b", 80, 30)]
