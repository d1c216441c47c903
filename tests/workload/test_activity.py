"""``plainsql activity``: who waits for whom, by query, without a value."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql.cli.app import main
from plainsql.query import one
from plainsql.types import Args
from plainsql.workload.lock_tree import lock_tree
from plainsql.workload.server_sessions import ServerSession
from tests import shop

SECRET = "hunter2"
WIDE = "-- " + "a line of a long statement, " * 50
LONG = f"select pg_advisory_xact_lock(:key)::varchar\n{WIDE}\n"


@one[str]("locks.take", "sql/locks/take.sql", 2, "select pg_advisory_xact_lock(:key)::text")
def take(*, key: int) -> Args:
    return (key,)


@one[str]("locks.long", "sql/locks/long.sql", 2, LONG)
def long(*, key: int) -> Args:
    return (key,)


@one[str]("locks.gone", "sql/locks/gone.sql", 2, LONG.replace("::varchar", "::varchar(9)"))
def gone(*, key: int) -> Args:
    return (key,)


async def test_waiting_sessions_are_below_those_that_they_wait_for(
    counted_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sql" / "locks").mkdir(parents=True)
    (tmp_path / "sql" / "locks" / "long.sql").write_text(f"-- returns: value\n{LONG}")
    monkeypatch.chdir(tmp_path)

    async with (
        await psycopg.AsyncConnection.connect(counted_url, autocommit=True) as admin,
        await psycopg.AsyncConnection.connect(counted_url, autocommit=True) as other,
        plainsql.connect(counted_url, application_name="web") as db,
    ):
        await admin.execute("create role plain login")
        await gone(db, key=2)  # pg_stat_statements has its whole text
        async with asyncio.TaskGroup() as tasks, db.transaction() as holder:
            await take(holder, key=1)
            await take(holder, key=2)
            await shop.raise_scores(holder, by=1, below=5)
            tasks.create_task(shop.raise_scores(db, by=2, below=5))
            tasks.create_task(long(db, key=1))
            tasks.create_task(gone(db, key=2))
            await _until_waiting(admin, 3)
            tasks.create_task(
                other.execute(f"alter table shop.leads add column note text default '{SECRET}'")
            )
            await _until_waiting(admin, 4)
            assert main(["activity", "--database", counted_url, "--json"]) == 0
            seen = json.loads(capsys.readouterr().out)
            assert main(["activity", "--database", counted_url]) == 0
            printed = capsys.readouterr().out
            assert main(["activity", "--database", counted_url.replace("postgres@", "plain@")]) == 0
            hidden = capsys.readouterr().out
        await admin.execute("alter table shop.leads drop column note; drop role plain")

    by_query: dict[str, Mapping[str, Any]] = {}
    for each in seen["sessions"]:
        by_query.setdefault(each["query"] or each["statement"], each)
    holding = next(each for each in seen["sessions"] if each["state"] == "idle in transaction")
    altering = by_query["alter table shop.leads …"]
    assert (holding["query"], holding["role"], holding["application"]) == (
        "shop.leads.raise_scores",
        "postgres",
        "web",
    )
    assert by_query["locks.long"]["blocked_by"] == [holding["pid"]]
    assert (by_query["locks.long"]["file"], by_query["locks.long"]["line"]) == ("sql/locks/long.sql", 2)
    assert (by_query["locks.gone"]["blocked_by"], by_query["locks.gone"]["file"]) == ([holding["pid"]], None)
    assert holding["pid"] in altering["blocked_by"]
    assert seen["oldest"]["pid"] == holding["pid"]
    assert seen["idle"] >= 1

    lines = printed.splitlines()
    assert lines[0].startswith("counted: 1 idle in transaction, 4 active, ")
    assert lines[3].split()[:3] == [str(holding["pid"]), "postgres", "web"]
    assert all(line.startswith("└ ") for line in lines[4:8])
    assert any(
        f"{holding['pid']} (advisory)" in line and line.endswith("locks.long  sql/locks/long.sql:2")
        for line in lines
    )
    assert lines[-1].startswith("oldest transaction: ")
    assert lines[-1].endswith(f", process {holding['pid']}")
    assert SECRET not in json.dumps(seen) + printed + hidden
    assert f"└ {altering['pid']}" in hidden  # that it waits is no secret
    assert "shop.leads.raise_scores" not in hidden
    assert (
        "note: the states and statements of other roles are hidden from plain: grant pg_monitor to" in hidden
    )


async def _until_waiting(admin: psycopg.AsyncConnection[Any], count: int) -> None:
    while True:
        found = await admin.execute("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
        if await found.fetchone() == (count,):
            return
        await asyncio.sleep(0.01)


def test_each_session_is_in_the_tree_once_also_in_a_deadlock() -> None:
    def session(pid: int, *blocked_by: int) -> ServerSession:
        return ServerSession(
            pid=pid,
            leader_pid=None,
            kind="client backend",
            role="app",
            application="",
            state="active",
            transaction_s=1.0,
            since_s=1.0,
            wait_event_type=None,
            wait_event=None,
            blocked_by=blocked_by,
            query=None,
            file=None,
            line=None,
            statement=None,
        )

    sessions = [session(1), session(2, 3, 1), session(3, 1), session(4, 5), session(5, 4), session(6, 0)]
    assert [(depth, each.pid) for depth, each in lock_tree(sessions)] == [
        (0, 1),
        (1, 3),
        (2, 2),
        (0, 6),
        (0, 4),
        (1, 5),
    ]
