"""``plainsql db doctor``: what answers, what does not, and what to do about it."""

from __future__ import annotations

import functools
import json
import socket
import threading
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from plainsql import migrate
from plainsql.embedded import EmbeddedServer
from plainsql.health.speed_check import check_speed
from plainsql.layers.files import migrations_folder
from plainsql.testing import Databases
from tests.cli.conftest import Command, Write
from tests.cli.test_db_transfer import SHOP
from tests.redis_server import free_port, redis_server

REALTY = functools.partial(migrate.apply, folder=migrations_folder("realty").parent, layers=["realty"])
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "HOST", "PORT", "DB", "PASSWORD"):
        monkeypatch.delenv(f"REDIS_{name}", raising=False)


@pytest.fixture
def shop_project(write: Write, command: Command, configured: str) -> str:
    """A project with one layer, not migrated."""
    write(SHOP)
    return configured


def checks(command: Command, *arguments: str) -> dict[str, dict[str, Any]]:
    done = command("db", "doctor", "--json", *arguments)
    told = json.loads(done.out)
    found = {check["name"]: check for check in told["checks"]}
    failed = [name for name, check in found.items() if check["state"] == "failed"]
    assert (told["ok"], done.code) == (not failed, 1 if failed else 0)
    assert SECRET not in done.out + done.err
    return found


def test_all_answers(plainsql_databases: Databases, command: Command, redis_url: str) -> None:
    with plainsql_databases.clone(plainsql_databases.template(REALTY)) as url:
        found = checks(command, "realty", "--database", url, "--redis", redis_url)
        assert {name: check["state"] for name, check in found.items()} == dict.fromkeys(
            ["postgresql", "role", "tls", "pgvector", "redis"]
            + [f"{what} of realty" for what in ("migrations", "extensions", "indexes", "rights")],
            "ok",
        ) | {"compiled part": check_speed().state}
        assert found["postgresql"]["found"]["version"].startswith("18.")
        assert found["migrations of realty"]["found"]["applied"] == len(
            [*migrations_folder("realty").glob("*_*.sql")]
        ) - len([*migrations_folder("realty").glob("*.rollback.sql")])
        done = command("db", "doctor", "realty", "--database", url, "--redis", redis_url)
        assert done.code == 0
        assert done.out.endswith("\neverything answers\n")


def test_a_replica_that_does_not_answer_is_a_warning(
    plainsql_databases: Databases, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_REPLICA_URLS", f"postgresql://app:{SECRET}@127.0.0.1:1/shop")
    with plainsql_databases.clone(plainsql_databases.template(REALTY)) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        done = command("db", "doctor", "realty")
    assert "\nwarning replica 1: cannot connect to postgresql://app:***@127.0.0.1:1/shop" in done.out
    assert (done.code, done.out.splitlines()[-1]) == (0, "no check failed; 1 warning")


def test_pending_migrations_are_a_failure(shop_project: str, command: Command) -> None:
    done = command("db", "doctor")
    assert done.code == 1
    assert "failed  migrations of shop: 1 pending\n        HINT: plainsql migrate --layer shop\n" in done.out
    assert done.out.endswith("\n1 of 7 checks failed\n")
    command("migrate")
    assert checks(command)["migrations of shop"]["text"] == "1 applied"
    Path("migrations/shop/0001_notes.sql").write_text("create schema shop;\n")
    assert checks(command)["migrations of shop"]["text"] == "1 edited"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://u:hunter2@127.0.0.1:{free}/x", "no server answers there"),
        ("postgresql://u:hunter2@no.such.host.invalid/x", "the host 'no.such.host.invalid' is not known"),
        ("postgresql://u:hunter2@/x?host=/no/such/folder", "there is no server socket in /no/such/folder"),
        ("postgresql://postgres:hunter2@/no_such?host={host}", "the database 'no_such' does not exist"),
        ("postgresql://nobody:hunter2@/postgres?host={host}", "the server does not let nobody in"),
        ("postgresql://u:hunter2@127.0.0.1:port/x", "the database URL cannot be read"),
        ("postgresql://u:hunter2@127.0.0.1:{silent}/x?connect_timeout=2", "no answer in time"),
    ],
)
def test_a_refused_login_is_reported_in_one_line(
    url: str, text: str, shop_project: str, command: Command, server: EmbeddedServer
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        filled = url.format(free=free_port(), host=server.socket.parent, silent=port)
        found = checks(command, "--database", filled)
    assert list(found) == ["postgresql", "redis", "compiled part"]
    assert found["postgresql"]["state"] == "failed"
    assert text in found["postgresql"]["text"]
    assert "\n" not in found["postgresql"]["text"]
    assert found["postgresql"]["hint"]


def test_a_server_without_tls_is_reported_if_the_url_requires_tls(
    shop_project: str, command: Command, server: EmbeddedServer
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(8)
                client.sendall(b"N")

        thread = threading.Thread(target=refuse)
        thread.start()
        url = f"postgresql://u:{SECRET}@127.0.0.1:{listening.getsockname()[1]}/x?sslmode=require"
        found = checks(command, "--database", url)
        thread.join()
    assert "the server does not offer TLS" in found["postgresql"]["text"]
    assert "sslmode" in found["postgresql"]["hint"]


def test_a_role_that_policies_do_not_bind_is_warned_of(shop_project: str, command: Command) -> None:
    command("migrate")
    assert checks(command)["role"]["state"] == "ok"
    with psycopg.connect(shop_project, autocommit=True) as connection:
        connection.execute("alter table shop.notes enable row level security")
    role = checks(command)["role"]
    assert role["state"] == "warning"
    assert (
        role["text"]
        == "postgres, superuser: it sees the rows of every tenant, in 1 tables with row-level security"
    )


def test_pgvector_is_needed_only_by_layers_that_use_it(
    shop_project: str, command: Command, write: Write
) -> None:
    command("migrate")
    assert checks(command)["pgvector"]["state"] == "skipped"
    with psycopg.connect(shop_project, autocommit=True) as connection:
        connection.execute("create schema meanings; create extension vector schema meanings")
        assert checks(command)["pgvector"]["state"] == "ok"
        connection.execute("update pg_extension set extversion = '0.8.3' where extname = 'vector'")
    found = checks(command)["pgvector"]
    assert (found["state"], found["text"]) == ("failed", "0.8.3: 0.8.4 or newer is needed")


def test_redis_is_needed_only_if_required(shop_project: str, command: Command) -> None:
    assert checks(command)["redis"]["state"] == "skipped"
    assert checks(command, "--require-redis")["redis"]["state"] == "failed"


@pytest.fixture
def guarded() -> Generator[int]:
    """The port of a Redis with a password."""
    port = free_port()
    with redis_server("--requirepass", SECRET, port=port) as running:
        running.start()
        yield port


def test_redis_is_found_by_its_parts(
    guarded: int, shop_project: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HOST": "127.0.0.1", "PORT": str(guarded), "DB": "3", "PASSWORD": SECRET}.items():
        monkeypatch.setenv(f"REDIS_{name}", value)
    found = checks(command)["redis"]
    assert found["state"] == "ok"
    assert found["found"]["address"] == f"redis://:***@127.0.0.1:{guarded}/3"
    assert found["found"]["eviction_policy"] == "noeviction"
    monkeypatch.setenv("REDIS_PASSWORD", "wrong")
    assert "it does not let us in" in checks(command)["redis"]["text"]
    monkeypatch.delenv("REDIS_PASSWORD")
    assert "it does not let us in" in checks(command)["redis"]["text"]


def test_a_redis_that_does_not_answer_is_reported(
    shop_project: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = checks(command, "--redis", f"redis://:{SECRET}@127.0.0.1:{free_port()}")["redis"]
    assert "no server answers there" in found["text"]
    monkeypatch.setattr("plainsql.health.redis_check._TIMEOUT_S", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        found = checks(command, "--redis", f"redis://:{SECRET}@127.0.0.1:{silent.getsockname()[1]}")["redis"]
    assert "no answer within" in found["text"]
    assert checks(command, "--redis", f"nonsense://:{SECRET}@")["redis"]["state"] == "failed"


def test_the_test_of_redis_leaves_no_key(guarded: int, shop_project: str, command: Command) -> None:
    import redis

    url = f"redis://:{SECRET}@127.0.0.1:{guarded}"
    assert checks(command, "--redis", url)["redis"]["state"] == "ok"
    with redis.Redis.from_url(url) as client:
        assert client.dbsize() == 0


def test_the_database_is_found_by_its_parts(
    shop_project: str, command: Command, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    name = shop_project.partition("?")[0].rpartition("/")[2]
    parts = {"HOST": str(server.socket.parent), "NAME": name, "USER": "postgres", "PASSWORD": SECRET}
    for part, value in parts.items():
        monkeypatch.setenv(f"DB_{part}", value)
    found = checks(command)["postgresql"]
    assert (found["state"], found["found"]["database"]) == ("ok", name)


def test_a_sequence_near_the_end_of_its_column_is_a_warning(shop_project: str, command: Command) -> None:
    with psycopg.connect(shop_project, autocommit=True) as connection:
        for statement in (
            "create table visits (id serial primary key, n smallint generated always as identity)",
            "create sequence short as smallint",
            "create sequence turning as smallint cycle",
            "create table calm (id bigserial primary key)",
            "select setval('visits_id_seq', 2000000000), setval('visits_n_seq', 24000)",
            "select setval('short', 30000), setval('turning', 30000), setval('calm_id_seq', 3000000000)",
        ):
            connection.execute(statement)
        found = checks(command)["sequences"]
        assert (found["state"], found["text"]) == (
            "warning",
            "public.visits_id_seq has used 93% of its values, public.short has used 92% of its values",
        )
        assert found["hint"] == "change the column of visits that it fills to bigint before inserts fail"
        connection.execute("alter table visits alter id type bigint")
        connection.execute("alter sequence visits_id_seq as bigint")
        found = checks(command)["sequences"]
        assert found["hint"] == "alter sequence public.short as bigint maxvalue 9223372036854775807"
        connection.execute(found["hint"].encode())
    assert "sequences" not in checks(command)
