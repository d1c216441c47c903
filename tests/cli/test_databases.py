"""Several databases in one project: each with its own folders, URL and settings; one by name, or all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cyclopts import App

import plainsql
import plainsql.sync
from plainsql.cli.app import app
from plainsql.cli.databases import run_on_databases
from plainsql.errors import SettingsError
from plainsql.query import Args, one
from plainsql.settings import Project, database_url, use_database
from plainsql.testing import Databases
from tests.cli.conftest import Command, Write

PROJECT = {
    "pyproject.toml": (
        "[tool.plainsql]\ntenant_setting = 'app.tenant'\n"
        "[tool.plainsql.databases.shop]\n"
        "[tool.plainsql.databases.reports]\nsearch_path = 'facts'\nuser_setting = 'app.who'\n"
    ),
    "migrations/shop/0001_order.sql": "create table orders (id int primary key);",
    "migrations/shop/0001_order.rollback.sql": "drop table orders;",
    "migrations/reports/0001_fact.sql": "create schema facts;\ncreate table facts.fact (id int primary key);",
    "migrations/reports/0001_fact.rollback.sql": "drop schema facts cascade;",
    "sql/shop/orders/count.sql": "-- returns: value\nselect count(*) as n from orders\n",
    "sql/reports/facts/count.sql": "-- returns: value\nselect count(*) as n from fact\n",
    "sql/reports/facts/where.sql": "-- returns: value\nselect current_schemas(false)::text as path\n",
}
BAD = "-- returns: value\nselect count(*) as n from nothing\n"


@one[str]("t.path", "t.sql", 1, "select current_schemas(false)::text", session_clean=True)
def path() -> Args:
    return ()


@one[str]("t.who", "t.sql", 1, "select current_setting('app.who', true)", session_clean=True)
def who() -> Args:
    return ()


@pytest.fixture
def urls(
    plainsql_databases: Databases, configured: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """The URLs of the databases; that of the project itself leads nowhere."""
    with plainsql_databases.clone() as shop, plainsql_databases.clone() as reports:
        monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
        monkeypatch.setenv("SHOP_DATABASE_URL", shop)
        monkeypatch.setenv("REPORTS_DATABASE_URL", reports)
        yield {"shop": shop, "reports": reports}


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "select relname::text from pg_class where relkind = 'r' and relname in ('orders', 'fact')"
        )
        return {name for (name,) in found}


def test_each_has_its_own_migrations_modules_and_checks(
    write: Write, command: Command, urls: dict[str, str]
) -> None:
    folder = write(PROJECT)
    done = command("migrate")
    assert (done.code, done.err) == (0, "")
    assert [line for line in done.out.splitlines() if line.startswith("[")] == ["[shop]", "[reports]"]
    assert (tables(urls["shop"]), tables(urls["reports"])) == ({"orders"}, {"fact"})
    # The command of a hint works in this project.
    done = command("migrate", "schema", "--check", "--db", "reports", "--scratch", urls["reports"])
    hint = "HINT: write it with plainsql --db reports migrate schema\n"
    assert (done.code, done.err.endswith(hint)) == (1, True)
    done = command("migrate", "mark", "0009", "--db", "shop", "--dry-run")
    assert (done.code, done.err.endswith("HINT: see 'plainsql --db shop migrate status'\n")) == (2, True)
    assert command("--db", "shop", "migrate", "status", "--check").code == 0
    done = command("generate")
    assert (done.code, done.err) == (0, "")
    assert (folder / "queries/shop/orders.py").is_file()
    assert (folder / "queries/reports/facts.py").is_file()
    done = command("check")
    assert done.out == "[shop]\nclean: 1 query, 0.0 s\n[reports]\nclean: 2 queries, 0.0 s\n"
    assert {path.name for path in (folder / ".plainsql").glob("*.msgpack")} == {
        "review-shop.msgpack",
        "review-reports.msgpack",
    }
    done = command("check", "--db", "reports")
    assert done.out == "clean: 2 queries, 0.0 s\n"
    assert command("--db=shop", "check").out == "clean: 1 query, 0.0 s\n"
    done = command("migrate", "status", "--check")
    assert (done.code, done.out.count("1 applied")) == (0, 2)
    assert command("db", "doctor").out.count("postgresql: ") == 2


def test_the_worst_code_counts_and_the_others_are_checked(
    write: Write, command: Command, urls: dict[str, str]
) -> None:
    write(PROJECT | {"sql/shop/orders/bad.sql": BAD})
    done = command("check", "--sql-only")
    assert done.code == 1
    assert "sql/shop/orders/bad.sql:2:27" in done.out
    assert "[reports]\nclean: 2 queries" in done.out
    done = command("check", "--sql-only", "--format", "github")
    assert (done.code, done.err.startswith("[shop]\n")) == (1, True)
    assert done.out.startswith("::error file=")


def test_files_and_queries_name_their_database(write: Write, command: Command, urls: dict[str, str]) -> None:
    write(PROJECT)
    command("migrate")
    assert command("run", "facts.where", "--json").out == '"{facts}"\n'
    assert command("run", "orders.count", "--json").out == "0\n"
    assert json.loads(command("describe", "facts.count", "--json").out)["id"] == "facts.count"
    assert command("run", "sql/shop/orders/count.sql", "--json").out == "0\n"
    assert command("check", "sql/reports/facts/where.sql").out == "clean: 1 query, 0.0 s\n"
    done = command("check", "sql/reports/facts/where.sql", "sql/shop/orders/count.sql")
    assert done.out == "[shop]\nclean: 1 query, 0.0 s\n[reports]\nclean: 1 query, 0.0 s\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nothing"], "run works on one database: name it"),
        (["grants", "--role", "app"], "grants works on one database: name it"),
        (["migrate", "rollback"], "migrate rollback works on one database: name it"),
        (["migrate", "--database", "postgresql://x"], "migrate works on one database: name it"),
        (["db", "stats"], "db stats works on one database: name it"),
        (["cache", "triggers"], "cache triggers works on one database: name it"),
        (["check", "--format", "json"], "one JSON document is of one database"),
        (["check", "--format=json"], "one JSON document is of one database"),
        (["check", "--db", "none"], "--db: there is no database 'none'"),
        (["check", "--db"], "--db: expected the name of a database, got nothing"),
    ],
)
def test_a_command_that_needs_a_name_says_so(
    write: Write, command: Command, urls: dict[str, str], arguments: list[str], message: str
) -> None:
    write(PROJECT)
    done = command(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(message)
    if arguments[-1] != "--db":
        assert "HINT: the databases are shop, reports: pass --db reports" in done.err


def test_every_command_knows_whether_it_works_on_one_database(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(PROJECT))
    found: dict[str, set[str]] = {}
    for words in commands(app):
        if words[0] == "marketplace":  # a plugin
            continue
        for more in ([], ["--some"], [] if words == ("migrate",) else ["word"]):
            ran: list[list[str]] = []
            try:
                run_on_databases([*words, *more], None, ran.append)
            except SettingsError as error:
                kind = error.message
            else:
                kind = "in turn" if len(ran) > 1 else "none"
            found.setdefault(kind, set()).add(" ".join(words))
    one = (
        "activity, cache drain, cache triggers, crypto rotate, db cleanup, db drop, db export, db import, "
        "db indexes, db sample, db stats, describe, explain, grants, import, layers copy, migrate mark, "
        "migrate new, migrate partitions, "
        "migrate rollback, migrate schema, migrate trace, migrate verify, new query, recall, review, run, "
        "schema diff, schema pull, slow, stats pull"
    )
    assert found == {
        **{f"{words} works on one database: name it": {words} for words in one.split(", ")},
        "in turn": {
            *("check", "generate", "plans", "test", "migrate", "migrate status", "db doctor", "db backup"),
        },
        # They use the server of scratch databases, a Redis, or no project at all.
        "none": {
            "cache audit",
            "completion",
            "crypto new-key",
            "db restore",
            "demo",
            "init",
            "layers list",
            "lsp",
            "scratch drop",
            "scratch list",
            "watch",
        },
    }


def commands(group: App, *words: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of each command below a group."""
    if words and group.default_command is not None:
        yield words
    for name in group:
        if not name.startswith("-"):
            yield from commands(group[name], *words, name)


def test_a_query_of_two_databases_needs_the_name(
    write: Write, command: Command, urls: dict[str, str]
) -> None:
    write(PROJECT | {"sql/shop/facts/where.sql": PROJECT["sql/reports/facts/where.sql"]})
    assert command("run", "facts.where", "--json").code == 2
    assert command("run", "facts.where", "--json", "--db", "reports").code == 0


def test_a_project_with_one_database_is_as_it_was(write: Write, command: Command) -> None:
    write({"sql/some.sql": "-- returns: value\nselect 1 as one\n"})
    assert command("check", "--sql-only").out == "clean: 1 query, 0.0 s\n"
    done = command("check", "--db", "shop")
    assert (done.code, done.err.splitlines()[0]) == (2, "--db: there is no database 'shop'")
    assert "[tool.plainsql.databases.NAME]" in done.err


def test_the_only_database_needs_no_name(write: Write, command: Command, configured: str) -> None:
    write(
        {
            "pyproject.toml": "[tool.plainsql.databases.shop]\nsql = 'queries'\noutput = 'made'\n",
            "queries/some.sql": "-- returns: value\nselect 1 as one\n",
        }
    )
    assert command("check", "--sql-only").out == "clean: 1 query, 0.0 s\n"
    assert command("run", "some", "--json").out == "1\n"


def test_without_a_url_each_is_on_the_embedded_server(
    write: Write, command: Command, configured: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(PROJECT)
    for name in ("DATABASE_URL", "PLAINSQL_SCRATCH_URL"):
        monkeypatch.delenv(name)
    for _ in range(2):
        assert command("migrate").code == 0
    with plainsql.sync.connect(database="shop") as db:
        assert db.connection.info.dbname == "shop"
        assert db.connection.execute("select to_regclass('orders')::text").fetchone() == ("orders",)
    assert command("check", "--sql-only").code == 0


async def test_at_run_time_a_database_is_named(write: Write, urls: dict[str, str]) -> None:
    write(PROJECT)
    with psycopg.connect(urls["reports"]) as connection:
        connection.execute("create schema facts")
    async with plainsql.connect(database="reports") as db:
        assert await path(db) == "{facts}"
        assert await who(db.tenant("a", user_id="me")) == "me"
    with plainsql.sync.connect(database="reports") as sync:
        assert path(sync) == "{facts}"
        assert who(sync.tenant("a", user_id="me")) == "me"
    async with plainsql.connect(database="shop") as db:
        assert await path(db) == "{public}"
    with pytest.raises(SettingsError, match="there is no database 'none'"):
        await plainsql.connect(database="none")
    with pytest.raises(SettingsError, match="there is no database 'none'"):
        plainsql.sync.connect(database="none")


async def test_without_a_file_the_environment_alone_names_it(
    write: Write, configured: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write({})
    monkeypatch.setenv("OTHER_DATABASE_URL", configured)
    async with plainsql.connect(database="other") as db:
        assert await path(db) == "{public}"
    with pytest.raises(SettingsError, match="the database 'none' is not configured") as caught:
        await plainsql.connect(database="none")
    assert caught.value.hint == "set NONE_DATABASE_URL"


async def test_without_a_name_none_of_several_is_taken(
    write: Write, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(PROJECT)
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(SettingsError, match="several databases, and none is named") as caught:
        await plainsql.connect()
    assert caught.value.hint == "name one with database= or --db: shop, reports"


def test_settings_are_inherited_except_those_of_one_database(write: Write) -> None:
    folder = write(
        {
            "pyproject.toml": (
                "[project]\nname = 'whole'\n"
                "[tool.plainsql]\nsql = 'own/sql'\noutput = 'own/out'\npackage = 'own'\ndatabase = 'd'\n"
                "search_path = 'own'\nbaseline = 'b'\nscratch = 's'\nredis = 'r'\n"
                "[tool.plainsql.databases.shop]\nredis = 'other'\ndatabase = 'e'\n"
            )
        }
    )
    own, shop = Project.load_all()
    assert (own.name, own.sql, own.database, own.is_database) == ("default", "own/sql", "d", True)
    assert (shop.name, shop.root, shop.sql, shop.migrations, shop.output) == (
        "shop",
        folder.resolve(),
        "sql/shop",
        "migrations/shop",
        "queries/shop",
    )
    assert (shop.package, shop.database, shop.search_path, shop.baseline) == ("", "e", "", "")
    assert (shop.scratch, shop.redis, shop.application) == ("s", "other", "whole")
    assert Project.load() == own
    with use_database("shop"):
        assert Project.load() == shop
        assert database_url(environ={"DATABASE_URL": "x", "DB_HOST": "h"}) == "e"
        assert database_url(environ={"SHOP_DATABASE_URL": "y"}) == "y"
    with use_database("default"):
        assert database_url(environ={"DATABASE_URL": "x"}) == "x"
        assert Project.load() == own


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sqll = 'x'", "unknown key 'sqll' in [tool.plainsql.databases.b]"),
        ("sql = 5", "sql in [tool.plainsql.databases.b]: expected a string, got a number"),
        ("databases = {}", "unknown key 'databases' in [tool.plainsql.databases.b]"),
        ("sql = 'sql/a'", "sql of the databases a and b: expected two folders, got 'sql/a' and 'sql/a'"),
        ("sql = 'sql/a/below'", "sql of the databases a and b: expected two folders"),
        ("sql = 'x/../sql'", "sql of the databases a and b: expected two folders"),
        ("output = 'queries'", "output of the databases a and b: expected two folders"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(
    write: Write, command: Command, text: str, message: str
) -> None:
    write({"pyproject.toml": f"[tool.plainsql.databases.a]\n[tool.plainsql.databases.b]\n{text}\n"})
    done = command("check")
    assert (done.code, message in done.err) == (2, True)
    assert done.err.split(": ")[0].endswith("pyproject.toml")


@pytest.mark.parametrize("line", ["search_path = 'a'", "baseline = 'a'", "allow = {}"])
def test_a_setting_of_one_database_is_no_default(write: Write, command: Command, line: str) -> None:
    write({"pyproject.toml": f"[tool.plainsql]\n{line}\n[tool.plainsql.databases.a]\n"})
    done = command("check")
    assert (done.code, "it is of one database, and several are named" in done.err) == (2, True)
    assert "HINT: write it into [tool.plainsql.databases.a]" in done.err


@pytest.mark.parametrize("name", ["default", "Shop", "a-b", "1a", "plainsql_test"])
def test_a_name_that_cannot_be_one_is_refused(write: Write, name: str) -> None:
    write({"pyproject.toml": f"[tool.plainsql.databases.{name}]\n"})
    with pytest.raises(SettingsError, match="cannot be the name of a database"):
        Project.load()


def test_each_has_its_own_scratch_database(
    write: Write, command: Command, urls: dict[str, str], configured: str
) -> None:
    folder = Path(write(PROJECT))
    for _ in range(2):
        assert command("check", "--sql-only").code == 0
    found = json.loads(command("scratch", "list", "--json").out)
    own = [each["database"] for each in found if each["project"] == str(folder.resolve())]
    assert len(own) == 2
    assert command("scratch", "drop", *own).code == 0
