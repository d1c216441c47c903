"""``plainsql marketplace``: what it does, what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from plainsql import migrate
from tests.cli.conftest import Command

MIGRATIONS = Path(__file__).parents[2] / "migrations"

FILL = """
insert into marketplace.buyers (wallapop_user_id, is_verified) values ('u1', true), ('u2', false);
insert into marketplace.products (wallapop_id, title, price, category, status, sold_at, listed_at)
values
  ('p1', 'Bicycle', 120, 'bikes', 'SOLD', '2026-03-10 12:00Z', '2026-03-08 12:00Z'),
  ('p2', 'Novel', 4.5, 'books', 'SOLD', '2026-03-10 15:00Z', '2026-03-10 12:00Z'),
  ('p3', 'Lamp', 10, null, 'AVAILABLE', null, now());
insert into marketplace.conversations (
  wallapop_chat_id, product_id, buyer_id, status, completed_at, created_at
)
values
  ('c1', 1, 1, 'COMPLETED', '2026-03-10 12:00Z', '2026-03-10 10:00Z'),
  ('c2', 2, 2, 'ACTIVE', null, '2026-03-10 11:00Z');
insert into marketplace.messages (conversation_id, content, message_type, created_at)
values
  (1, 'hola', 'USER_MESSAGE', '2026-03-10 10:00Z'), (1, 'hola', 'BOT_MESSAGE', '2026-03-10 10:01Z'),
  (2, 'hola', 'USER_MESSAGE', '2026-03-10 11:00Z');
insert into marketplace.bot_sessions (session_key, started_at, last_activity_at)
values ('old', '2026-01-01Z', '2026-01-01Z'), ('new', now(), now());
"""


@pytest.fixture
def marketplace_url(configured: str) -> str:
    """A database with the marketplace's tables and a few rows: the configured one."""
    migrate.apply(configured, MIGRATIONS, layers=["marketplace"])
    with psycopg.connect(configured, autocommit=True) as connection:
        connection.execute(FILL.encode())
    return configured


def test_each_command_does_its_part_and_says_so(marketplace_url: str, command: Command) -> None:
    for name, said, again in [
        ("delete-old-sessions", "deleted 1 bot sessions\n", "deleted 0 bot sessions\n"),
        ("archive-conversations", "archived 1 conversations\n", "archived 0 conversations\n"),
        (
            "recompute-trust",
            "examined 2 buyers, 1 scores changed\n",
            "examined 2 buyers, 0 scores changed\n",
        ),
    ]:
        done = command("marketplace", name)
        assert (done.code, done.out, done.err) == (0, said, "")
        assert command("marketplace", name).out == again


def test_days_and_batches_are_options(marketplace_url: str, command: Command) -> None:
    assert command("marketplace", "delete-old-sessions", "--days", "36000").out == "deleted 0 bot sessions\n"
    done = command("marketplace", "delete-old-sessions", "--days", "0", "--batch", "1")
    assert done.out == "deleted 2 bot sessions\n"


def test_json_is_all_that_is_printed(marketplace_url: str, command: Command) -> None:
    found: dict[str, int] = {}
    for name in ("delete-old-sessions", "archive-conversations", "recompute-trust"):
        done = command("marketplace", name, "--json")
        assert (done.code, done.err) == (0, "")
        found |= json.loads(done.out)
    assert found == {"deleted_sessions": 1, "archived_conversations": 1, "examined": 2, "changed": 1}
    report = json.loads(command("marketplace", "report", "--day", "2026-03-10", "--json").out)
    assert (report["conversations"], report["response_rate"], report["sales"]) == (2, 0.5, 2)
    assert report["revenue"] == [{"currency": "EUR", "amount": "124.50"}]
    assert [line["category"] for line in report["categories"]] == ["bikes", "books"]
    assert report["categories"][0]["median_time_to_sale"] == 2 * 86_400
    daily = json.loads(command("marketplace", "daily", "--day", "2026-03-10", "--json").out)
    assert daily["report"] == report
    assert daily["trust_scores"] == {"examined": 2, "changed": 0}


def test_the_report_is_a_table(marketplace_url: str, command: Command) -> None:
    done = command("marketplace", "report", "--day", "2026-03-10", "--time-zone", "Europe/Madrid")
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["Tuesday,", "10", "March", "2026", "Europe/Madrid"]
    assert lines[2:5] == [
        ["bikes", "1", "100", "%", "of", "1", "1", "120", "€", "2", "d"],
        ["books", "1", "0", "%", "of", "1", "1", "4.50", "€", "3", "h"],
        ["all", "2", "50", "%", "of", "2", "2", "124.50", "€", "1", "d", "1", "h"],
    ]
    assert done.out.splitlines()[-1] == "2 messages of buyers, 1 of the bot; the busiest hour began at 11:00"


def test_a_day_without_anything_has_a_report(marketplace_url: str, command: Command) -> None:
    done = command("marketplace", "report", "--day", "2020-01-01")
    assert done.code == 0
    assert done.out.splitlines()[-2].split() == ["all", "0", "-", "0", "-", "-"]
    assert done.out.splitlines()[-1] == "no messages"


def test_the_chart_is_written_in_addition_to_the_table(
    marketplace_url: str, command: Command, tmp_path: Path
) -> None:
    for name, start in (("day.png", b"\x89PNG"), ("day.svg", b"<?xml")):
        done = command("marketplace", "daily", "--day", "2026-03-10", "--picture", str(tmp_path / name))
        assert done.code == 0
        assert done.out.endswith(f"wrote {tmp_path / name}\n")
        assert (tmp_path / name).read_bytes().startswith(start)
    done = command("marketplace", "report", "--json", "--picture", str(tmp_path / "more.png"))
    assert json.loads(done.out)
    assert (tmp_path / "more.png").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "--day", "tomorrow"], "--day: expected a day, got 'tomorrow'"),
        (["report", "--time-zone", "Europe/Nowhere"], "there is no zone 'Europe/Nowhere'"),
        (["report", "--picture", "day.pdf"], "day.pdf: expected a name that ends in .png or .svg"),
        (["daily", "--picture", "nowhere/day.png"], "no such file or directory"),
        (["delete-old-sessions", "--days", "-1"], "days: the value is out of bounds, expected 0..36500"),
        (["archive-conversations", "--batch", "0"], "limit: the value is out of bounds"),
        (["daily", "--session-days", "x"], ""),
    ],
)
def test_faults_are_reported_and_the_exit_code_is_2(
    marketplace_url: str, command: Command, arguments: list[str], said: str
) -> None:
    done = command("marketplace", *arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_database_without_the_tables_gets_a_hint(command: Command) -> None:
    done = command("marketplace", "daily")
    assert done.code == 2
    assert "the database has no marketplace" in done.err
    assert "HINT: run `plainsql migrate --layer marketplace`" in done.err


def test_no_password_is_printed(marketplace_url: str, command: Command) -> None:
    url = "postgresql://ana:sesame@127.0.0.1:1/shop"
    done = command("marketplace", "daily", "--database", url)
    assert done.code == 2
    assert "sesame" not in done.out + done.err


def test_a_role_without_the_privilege_gets_a_hint(marketplace_url: str, command: Command) -> None:
    with psycopg.connect(marketplace_url, autocommit=True) as connection:
        connection.execute("drop role if exists marketplace_nobody")
        connection.execute("create role marketplace_nobody login")
    try:
        done = command(
            "marketplace", "daily", "--database", marketplace_url.replace("postgres@", "marketplace_nobody@")
        )
    finally:
        with psycopg.connect(marketplace_url, autocommit=True) as connection:
            connection.execute("drop role marketplace_nobody")
    assert done.code == 2
    assert "permission denied" in done.err
