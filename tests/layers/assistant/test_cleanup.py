"""The rows of an assistant that ``plainsql db cleanup`` removes: those that were soft-deleted long ago."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layers.assistant.desk import TABLES
from tests.layers.cleaning import Cleanup, cleanup_of
from tests.layers.isolation import application_url

EACH = {"conversations": 20, "events": 20, "message_history": 20, "notes": 20, "users": 20}
FILL = """
insert into assistant.users (tenant_id, first_name, deleted_at)
select tenant, 'x', at from days;
insert into assistant.events (tenant_id, user_id, title, start_datetime, deleted_at)
select tenant, 1, 'x', now(), at from days;
insert into assistant.notes (tenant_id, user_id, content, deleted_at)
select tenant, 1, 'x', at from days;
insert into assistant.conversations (tenant_id, user_id, session_id, deleted_at)
select tenant, 1, gen_random_uuid()::text, at from days;
insert into assistant.message_history (tenant_id, conversation_id, user_message, deleted_at)
select tenant, 1, 'x', at from days
"""


def left(cleanup: Cleanup, table: str) -> list[tuple[object, ...]]:
    return cleanup.rows(
        f"select tenant_id, count(*), count(deleted_at) from assistant.{table} group by 1 order by 1"
    )


@pytest.fixture
def cleanup(
    plainsql_fresh_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Cleanup:
    """Two tenants with a row in every table deleted on each of the last 50 days, and 50 live rows."""
    cleanup = cleanup_of("assistant", plainsql_fresh_database_url, tmp_path, monkeypatch, capfd)
    cleanup.run(
        """
        create temporary table days as
        select tenant, case when deleted then now() - n * interval '1 day' + interval '1 hour' end as at
        from generate_series(1, 50) as n
        cross join unnest(array['acme', 'globex']) as tenant
        cross join unnest(array[true, false]) as deleted;
        """
        + FILL
    )
    return cleanup


def test_rows_deleted_a_month_ago_are_removed_of_every_tenant(cleanup: Cleanup) -> None:
    assert cleanup() == {table: 2 * rows for table, rows in EACH.items()}
    for table in TABLES:
        assert left(cleanup, table) == [("acme", 80, 30), ("globex", 80, 30)], table
    assert cleanup() == dict.fromkeys(EACH, 0)
    # The log keeps the rows, and that no user of a tenant removed them.
    assert cleanup.rows("select action, actor, count(*) from assistant.audit_log group by 1, 2") == [
        ("purge", None, 200)
    ]


def test_a_user_takes_along_what_hangs_on_it(cleanup: Cleanup) -> None:
    cleanup.run(
        "update assistant.users set deleted_at = now() - interval '99 days'"
        " where tenant_id = 'acme' and id = 1"
    )
    # The tenant's other users were deleted later; all events, notes and conversations were the first one's.
    assert cleanup("--days", "60")["users"] == 1
    assert left(cleanup, "users") == [("acme", 99, 49), ("globex", 100, 50)]
    for table in EACH.keys() - {"users", "message_history"}:
        assert left(cleanup, table) == [("globex", 100, 50)], table


def test_one_tenant_is_cleaned_up_even_if_the_role_sees_all(cleanup: Cleanup) -> None:
    assert cleanup("--tenant", "acme", "--batch", "3") == EACH
    for table in TABLES:
        assert left(cleanup, table) == [("acme", 80, 30), ("globex", 100, 50)], table


def test_a_dry_run_reports_the_same_and_changes_nothing(cleanup: Cleanup) -> None:
    assert cleanup("--dry-run") == {table: 2 * rows for table, rows in EACH.items()}
    assert cleanup("--dry-run", "--tenant", "acme") == EACH
    for table in TABLES:
        assert left(cleanup, table) == [("acme", 100, 50), ("globex", 100, 50)], table


def test_the_application_cleans_up_the_tenant_that_it_names_and_no_other(cleanup: Cleanup) -> None:
    with application_url(cleanup.url, "assistant_app") as url:
        code, _, said = cleanup.ended(url=url)
        assert code == 2
        assert "HINT: connect as a role that may change every tenant's rows, or name one: --tenant" in said
        assert cleanup("--tenant", "globex", url=url) == EACH
    for table in TABLES:
        assert left(cleanup, table) == [("acme", 100, 50), ("globex", 80, 30)], table
