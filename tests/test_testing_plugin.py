"""The pytest plugin, as a user's test suite uses it: each test here runs a suite of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from plainsql.embedded import EmbeddedServer
from plainsql.testing import load

pytest_plugins = ["pytester"]

MIGRATE = """
import functools, os, pathlib, psycopg, pytest

HERE = pathlib.Path(__file__).parent

def apply(table, url):
    with (HERE / "applied").open("a") as log:
        print(table, file=log)
    with psycopg.connect(url) as connection:
        connection.execute(f"create table {table} (n int)")

@pytest.fixture(scope="session")
def plainsql_migrate():
    return functools.partial(apply, "leads")
"""


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:pytest_postgresql", *options)


@pytest.fixture
def given(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> EmbeddedServer:
    """Let the suites use the server that runs already: they start sooner."""
    monkeypatch.setenv("PLAINSQL_TEST_DATABASE_URL", server.url())
    return server


def test_all_workers_share_one_server_and_one_template(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLAINSQL_TEST_DATABASE_URL", raising=False)
    pytester.makeconftest(MIGRATE)
    test = """
import os, pathlib, psycopg, time

def test_that_waits_for_the_other_worker(plainsql_server, plainsql_database_url):
    here = pathlib.Path(__file__).parent
    with psycopg.connect(plainsql_database_url) as connection:
        assert connection.execute("select count(*) from leads").fetchone() == (0,)
    (here / f"seen-{os.environ['PYTEST_XDIST_WORKER']}").write_text(
        f"{plainsql_server.pid} {plainsql_server.folder}"
    )
    deadline = time.monotonic() + 60
    while len(list(here.glob("seen-*"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
"""
    pytester.makepyfile(test_one=test, test_two=test)
    run(pytester, "-n2").assert_outcomes(passed=2)
    seen = {path.read_text() for path in pytester.path.glob("seen-*")}
    assert len(seen) == 1
    assert (pytester.path / "applied").read_text() == "leads\n"
    assert not Path(seen.pop().partition(" ")[2]).exists(), "the last worker stops and removes it"


def test_a_modules_database_is_its_own_and_a_fresh_one_the_tests_own(
    pytester: pytest.Pytester, given: EmbeddedServer
) -> None:
    pytester.makeconftest(MIGRATE)
    module = """
import pathlib, psycopg

def count(url):
    with psycopg.connect(url) as connection:
        pathlib.Path("database").write_text(connection.info.dbname)
        connection.execute("insert into leads values (1)")
        return connection.execute("select count(*) from leads").fetchone()[0]

def test_first(plainsql_database_url):
    assert count(plainsql_database_url) == 1

def test_second_sees_what_the_first_left(plainsql_database_url):
    assert count(plainsql_database_url) == 2

def test_fresh(plainsql_fresh_database_url):
    assert count(plainsql_fresh_database_url) == 1

def test_fresh_again(plainsql_fresh_database_url):
    assert count(plainsql_fresh_database_url) == 1
"""
    pytester.makepyfile(test_one=module, test_two=module)
    run(pytester).assert_outcomes(passed=8)
    assert (pytester.path / "applied").read_text() == "leads\n"
    prefix = (pytester.path / "database").read_text().rpartition("_")[0] + "_"
    left = given.execute(
        "select datname from pg_database where starts_with(datname, :'prefix')", prefix=prefix
    )
    assert left == "", "nothing stays on a given server"


def test_a_module_with_other_migrations_gets_another_template(
    pytester: pytest.Pytester, given: EmbeddedServer
) -> None:
    pytester.makeconftest(MIGRATE)
    module = """
import functools, psycopg, pytest
from conftest import apply

@pytest.fixture(scope="module")
def plainsql_migrate():
    return functools.partial(apply, "TABLE")

def test_table(plainsql_database_url):
    with psycopg.connect(plainsql_database_url) as connection:
        tables = connection.execute("select relname from pg_class where relname in ('leads', 'offers')")
        assert tables.fetchall() == [("TABLE",)]
"""
    offers = module.replace("TABLE", "offers")
    pytester.makepyfile(test_leads=module.replace("TABLE", "leads"), test_more=offers, test_offers=offers)
    run(pytester).assert_outcomes(passed=3)
    assert (pytester.path / "applied").read_text() == "leads\noffers\n"


def test_a_failed_migration_is_told_and_never_taken_for_a_template(
    pytester: pytest.Pytester, given: EmbeddedServer
) -> None:
    pytester.makeconftest(
        MIGRATE + "\n\ndef apply(table, url, whole=apply):\n    whole(table, url)\n    whole(table, url)\n"
    )
    test = "def test_leads(plainsql_database_url): pass"
    pytester.makepyfile(test_one=test, test_two=test)
    result = run(pytester)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(['*DuplicateTable: relation "leads" already exists'])


def test_sessions_that_a_migration_leaves_open_do_not_hinder_clones(
    pytester: pytest.Pytester, given: EmbeddedServer
) -> None:
    pytester.makeconftest(
        """
import psycopg, pytest
kept = []

@pytest.fixture(scope="session")
def plainsql_migrate():
    return lambda url: kept.append(psycopg.connect(url))
"""
    )
    pytester.makepyfile("def test_it(plainsql_database_url): pass")
    run(pytester).assert_outcomes(passed=1)


def test_a_suite_that_asks_for_nothing_starts_and_imports_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import sys

def test_it():
    assert not {"plainsql.embedded", "psycopg", "asyncpg", "redis", "msgspec"} & set(sys.modules)
"""
    )
    run(pytester).assert_outcomes(passed=1)


NO_FCNTL = """
import sys

sys.modules["fcntl"] = None
"""


def test_the_plugin_works_where_there_are_no_file_locks(
    pytester: pytest.Pytester, given: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(no_fcntl=NO_FCNTL)
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))
    pytester.makeconftest(MIGRATE)
    test = """
import psycopg, sys

def test_it(plainsql_database_url):
    assert sys.modules["fcntl"] is None
    with psycopg.connect(plainsql_database_url) as connection:
        assert connection.execute("select count(*) from leads").fetchone() == (0,)
"""
    pytester.makepyfile(test_one=test, test_two=test)
    run(pytester, "-p", "no_fcntl").assert_outcomes(passed=2)
    run(pytester, "-p", "no_fcntl", "-n2").assert_outcomes(passed=2)
    assert (pytester.path / "applied").read_text() == "leads\n" * 2, "once in each of the two runs"


def test_without_an_embedded_server_the_tests_fail_and_say_why(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile("def test_it(plainsql_database_url): pass", no_fcntl=NO_FCNTL)
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))
    monkeypatch.delenv("PLAINSQL_TEST_DATABASE_URL", raising=False)
    result = run(pytester, "-p", "no_fcntl")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "no embedded server: *",
            "HINT: name a server for tests in PLAINSQL_TEST_DATABASE_URL, whose role may create databases",
        ]
    )


def test_a_role_that_may_not_create_databases_is_named(
    pytester: pytest.Pytester, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"plain_{uuid4().hex}"
    server.execute(f"create role {role} login")
    monkeypatch.setenv("PLAINSQL_TEST_DATABASE_URL", server.url("postgres", role))
    pytester.makepyfile("def test_it(plainsql_database_url): pass")
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "PLAINSQL_TEST_DATABASE_URL: permission denied to create database",
            f'HINT: name a role that may create databases: alter role "{role}" createdb',
        ]
    )
    server.execute(f"drop role {role}")


def test_redis_is_private_empty_and_gone_afterwards(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pathlib, redis

def test_it(plainsql_redis_url):
    with redis.Redis.from_url(plainsql_redis_url) as client:
        assert client.dbsize() == 0
        assert client.config_get("port", "save", "appendonly") == {
            "port": "0", "save": "", "appendonly": "no"
        }
        pathlib.Path("socket").write_text(client.config_get("unixsocket")["unixsocket"])
"""
    )
    run(pytester).assert_outcomes(passed=1)
    assert not Path((pytester.path / "socket").read_text()).parent.exists()


def test_without_redis_the_tests_fail_and_say_why(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile("def test_it(plainsql_redis_url): pass")
    monkeypatch.setenv("PATH", str(pytester.path))
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "redis-server is not on the PATH",
            "HINT: install Redis, or name a server for tests in PLAINSQL_TEST_REDIS_URL",
        ]
    )


def test_redis_ends_with_a_process_that_is_killed() -> None:
    program = (
        "import sys; from plainsql.testing import _private_redis\n"
        "with _private_redis() as url: print(url, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    path = process.stdout.readline().removeprefix("unix://").partition("?")[0]
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(path)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert client.recv(1) == b"", "the server hangs up"


def test_databases_of_any_url_can_be_named() -> None:
    from plainsql.testing import _GivenServer

    assert _GivenServer("postgresql://u:p@h:1,i:2/x?a=b").url("n m") == "postgresql://u:p@h:1,i:2/n%20m?a=b"
    assert _GivenServer("postgresql:///?host=%2Frun").url() == "postgresql:///postgres?host=%2Frun"
    assert _GivenServer("postgres://h").url("x") == "postgres://h/x"


async def test_the_short_fixtures_give_an_empty_database_with_pgvector(
    connection: psycopg.Connection[tuple[int]], fresh_database_url: str
) -> None:
    connection.execute("create extension vector")
    assert connection.execute("select '[1,2]'::vector").rowcount == 1
    with psycopg.connect(fresh_database_url) as fresh:
        found = fresh.execute("select count(*) from pg_extension where extname = 'vector'").fetchone()
    assert found == (0,)


def test_urls_lead_to_a_port_with_a_password_when_that_is_configured(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLAINSQL_TEST_DATABASE_URL", raising=False)
    pytester.makeini("[pytest]\nplainsql_tcp = true")
    pytester.makeconftest(MIGRATE)
    test = """
import psycopg, pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import PostgresDsn, TypeAdapter

def test_it(plainsql_database_url):
    assert str(TypeAdapter(PostgresDsn).validate_python(plainsql_database_url)) == plainsql_database_url
    given = conninfo_to_dict(plainsql_database_url)
    assert given["host"] == "127.0.0.1"
    with psycopg.connect(plainsql_database_url) as connection:
        assert connection.execute("select count(*) from leads").fetchone() == (0,)
        assert connection.execute("show listen_addresses").fetchone() == ("127.0.0.1",)
    for wrong in (None, "wrong"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect("", **(given | {"password": wrong, "passfile": "/dev/null"}))
"""
    pytester.makepyfile(test_one=test, test_two=test)
    run(pytester, "-n2").assert_outcomes(passed=2)


def test_without_that_the_server_has_no_port_and_it_may_have_a_replica(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLAINSQL_TEST_DATABASE_URL", raising=False)
    pytester.makeconftest(MIGRATE)
    pytester.makepyfile(
        """
import psycopg

def test_it(plainsql_server):
    assert plainsql_server.port is None
    assert plainsql_server.execute("show listen_addresses") == ""

def test_replica(plainsql_database_url, plainsql_replica, plainsql_replica_url):
    with psycopg.connect(plainsql_database_url) as connection:
        connection.execute("insert into leads values (1)")
    plainsql_replica.wait_for_replay()
    with psycopg.connect(plainsql_replica_url) as connection:
        assert connection.execute("select pg_is_in_recovery(), n from leads").fetchall() == [(True, 1)]
"""
    )
    run(pytester).assert_outcomes(passed=2)


NOTES = {
    "migrations/0001_notes.sql": "create table notes (text text not null);\n",
    "migrations/0002_first.sql": "insert into notes (text) values ('first');\n",
}


def write_project(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.plainsql]\n", "utf-8")
    for path, text in NOTES.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, "utf-8")


def test_the_loader_applies_the_projects_migrations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_database_url: str
) -> None:
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    given = conninfo_to_dict(fresh_database_url)
    load(
        host=str(given["host"]),
        port=str(given["port"]),
        user="postgres",
        dbname=str(given["dbname"]),
        password=None,
        options="",
    )
    with psycopg.connect(fresh_database_url) as connection:
        assert connection.execute("select text from notes").fetchall() == [("first",)]


def test_the_factories_of_pytest_postgresql_take_the_loader(
    pytester: pytest.Pytester, server: EmbeddedServer
) -> None:
    # Its licence is the LGPL: it is not among the pins.
    pytest.importorskip("pytest_postgresql", reason="pytest-postgresql is not installed")
    write_project(pytester.path)
    pytester.makeconftest(
        f"""
import plainsql.testing
from pytest_postgresql import factories

notes_server = factories.postgresql_noproc(
    host={str(server.socket.parent)!r},
    port=5432,
    user="postgres",
    dbname="notes_of_{os.getpid()}",
    load=[plainsql.testing.load],
)
notes = factories.postgresql("notes_server")
"""
    )
    test = """
def test_{}(notes):
    assert notes.execute("select text from notes").fetchall() == [("first",)]
    notes.execute("delete from notes")
    notes.commit()
"""
    pytester.makepyfile(test.format("one") + test.format("two"))
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)
