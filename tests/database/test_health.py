"""``db.check()``: the health of a database and its services, as a value."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

import plainsql
from plainsql import migrate
from plainsql.embedded import EmbeddedServer
from plainsql.errors import OptionError
from plainsql.health.speed_check import check_speed
from tests.proxy import Proxy
from tests.redis_server import free_port

SECRET = "hunter2"
NOTES = {
    "pyproject.toml": "[tool.plainsql]\n",
    "migrations/0001_notes.sql": "create table notes (id int);\n",
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one migration, in the working folder, and no configured services."""
    for name in ("DATABASE_URL", "REDIS_URL", "REDIS_HOST"):
        monkeypatch.delenv(name, raising=False)
    for path, text in NOTES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def states(health: plainsql.Health) -> dict[str, str]:
    return {check.name: check.state for check in health.checks}


async def test_it_says_what_the_command_says(fresh_database_url: str, redis_url: str) -> None:
    async with plainsql.connect(fresh_database_url, redis=redis_url) as db:
        pending = await db.check()
        assert not pending.ok
        assert not pending["migrations"].ok
        assert pending["migrations"].hint == "plainsql migrate"
        migrate.apply(fresh_database_url, "migrations")
        health = await db.check()
    assert health.ok
    command = ["-m", "plainsql", "db", "doctor", "--json", "--database", fresh_database_url]
    done = await asyncio.create_subprocess_exec(
        sys.executable, *command, "--redis", redis_url, stdout=asyncio.subprocess.PIPE
    )
    printed = json.loads((await done.communicate())[0])["checks"]
    assert done.returncode == 0
    assert {check["name"]: check["state"] for check in printed} == states(health)
    shown = {check["name"]: check for check in printed}
    for name in ("role", "tls", "pgvector", "migrations", "compiled part"):
        assert (shown[name]["text"], shown[name]["hint"]) == (health[name].text, health[name].hint)
    assert health["postgresql"].found["database"] == shown["postgresql"]["found"]["database"]


async def test_without_migrations_they_are_not_checked(fresh_database_url: str) -> None:
    async with plainsql.connect(fresh_database_url) as db:
        health = await db.check(migrations=False)
    assert states(health) == {
        "postgresql": "ok",
        "role": "ok",
        "tls": "ok",
        "pgvector": "skipped",
        "redis": "skipped",
        "compiled part": check_speed().state,
    }
    assert health.ok
    with pytest.raises(KeyError):
        health["migrations"]


async def test_a_role_without_the_right_to_the_records_is_a_warning(fresh_database_url: str) -> None:
    migrate.apply(fresh_database_url, "migrations")
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute("create role health_reader nologin")
        try:
            async with plainsql.connect(fresh_database_url, server_settings={"role": "health_reader"}) as db:
                health = await db.check()
        finally:
            connection.execute("drop role health_reader")
    assert health.ok
    assert health["role"].text == "health_reader"
    assert health["migrations"].state == "warning"
    assert health["migrations"].hint == (
        "grant select on public._yoyo_migration, public.plainsql_migration to the role"
    )


async def test_migrations_of_another_tool_are_not_checked(fresh_database_url: str, project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.plainsql]\nschema = "migrations"\n')
    async with plainsql.connect(fresh_database_url) as db:
        health = await db.check()
    assert health.ok
    assert "migrations" not in states(health)


async def test_an_edited_migration_is_a_failure(fresh_database_url: str, project: Path) -> None:
    migrate.apply(fresh_database_url, "migrations")
    (project / "migrations/0001_notes.sql").write_text("create table notes (id bigint);\n")
    async with plainsql.connect(fresh_database_url) as db:
        assert (await db.check())["migrations"].text == "1 edited"


async def test_a_lost_server_is_a_failed_check_and_no_error(proxy: Proxy, database_url: str) -> None:
    async with plainsql.connect(proxy.url(), connect_timeout=2) as db:
        assert (await db.check(migrations=False)).ok
        proxy.refuse()
        proxy.cut()
        health = await db.check(migrations=False)
        assert [*states(health).items()][:2] == [("postgresql", "failed"), ("redis", "skipped")]
        assert health["postgresql"].hint


async def test_a_silent_server_fails_the_check_in_time(proxy: Proxy) -> None:
    async with plainsql.connect(proxy.url(), max_size=1, connect_timeout=2) as db:
        proxy.silence()
        health = await db.check(migrations=False, timeout=0.3)
        assert health["postgresql"].text == "no answer within 0.3 s"
        proxy.cut()


async def test_a_pool_without_a_free_connection_is_named(fresh_database_url: str) -> None:
    async with plainsql.connect(fresh_database_url, max_size=1) as db:
        async with db.acquire():
            health = await db.check(migrations=False, timeout=0.2)
        assert health["postgresql"].text == "no connection of the pool became free within 0.2 s"
        assert (await db.check(migrations=False)).ok


async def test_a_closed_database_is_a_failed_check(fresh_database_url: str) -> None:
    async with plainsql.connect(fresh_database_url) as db:
        pass
    assert not (await db.check(migrations=False)).ok


async def test_redis_that_does_not_answer_is_a_failed_check(fresh_database_url: str) -> None:
    url = f"redis://:{SECRET}@127.0.0.1:{free_port()}"
    async with plainsql.connect(fresh_database_url, redis=url) as db:
        health = await db.check(migrations=False)
    assert health["redis"].state == "failed"
    assert health["postgresql"].ok
    assert SECRET not in repr(health)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        async with plainsql.connect(fresh_database_url, redis=url) as db:
            health = await db.check(migrations=False, timeout=0.3)
    assert "no answer within 0.3 s" in health["redis"].text


async def test_no_password_is_in_the_result(server: EmbeddedServer, fresh_database_url: str) -> None:
    url = fresh_database_url.replace("postgres@", f"postgres:{SECRET}@")
    async with plainsql.connect(url) as db:
        health = await db.check()
    assert SECRET not in repr(health)
    assert "***" in health["postgresql"].text


async def test_a_time_limit_that_is_none_is_refused(fresh_database_url: str) -> None:
    async with plainsql.connect(fresh_database_url) as db:
        with pytest.raises(OptionError, match="timeout"):
            await db.check(timeout=0)
