"""Faults in users' files and servers: one clear message, its place, its fix, and nothing half-done.

Whole messages, as they are printed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from plainsql import embedded
from plainsql.embedded import EmbeddedServer
from plainsql.settings import Project
from tests.cli.conftest import GET, NOTES, Command, Write, tree


def _with(text: str, line: str) -> str:
    return text.replace("-- returns", f"{line}\n-- returns")


FILES: dict[str, tuple[dict[str, str | bytes], str]] = {
    "an empty file": (
        {"sql/notes/get.sql": ""},
        """\
sql/notes/get.sql:1:1: the file is empty [sql-file]
HINT: write a header (-- returns: …) and a query
""",
    ),
    "two statements in one file": (
        {"sql/notes/get.sql": GET + ";\ndelete from notes\n"},
        """\
sql/notes/get.sql:7:1: a second statement begins here, expected one statement per file [sql-file]
    delete from notes
    ^
DETAIL: the first one ends with the semicolon at sql/notes/get.sql:6:1
HINT: move it to a file of its own, or combine both with a common table expression
""",
    ),
    "a parameter in a comment": (
        {"sql/notes/get.sql": _with(GET, "-- param limit: 1..5") + "-- limit :limit\n"},
        """\
sql/notes/get.sql:2:10: :limit is only in a comment, where it is not a parameter [sql-file]
    -- param limit: 1..5
             ^
DETAIL: found at sql/notes/get.sql:7:10
HINT: use it in the query, or remove this line
""",
    ),
    "bytes that are not UTF-8": (
        {"sql/notes/get.sql": b"-- One n\xf3te.\n-- returns: value\nselect 1\n"},
        """\
sql/notes/get.sql:1:9: the file is not UTF-8: the byte at offset 8 is 0xf3 [sql-file]
HINT: save it as UTF-8
""",
    ),
    "an unknown key": (
        {"sql/notes/get.sql": GET.replace("returns", "retruns")},
        """\
sql/notes/get.sql:2:4: unknown key 'retruns' [sql-file]
    -- retruns: optional Note
       ^
HINT: did you mean returns?
""",
    ),
    "a row that no class can be called": (
        {"sql/notes/get.sql": GET.replace("optional Note", "optional note")},
        """\
sql/notes/get.sql:2:22: 'note' cannot be the name of a row, expected a name such as Lead [sql-file]
    -- returns: optional note
                         ^
HINT: did you mean Note?
""",
    ),
    "a row whose columns differ from those of its other queries": (
        {"sql/notes/get.sql": GET.replace(", n.stars", "")},
        """\
sql/notes/get.sql:2:4: notes.get: its Note differs from the Note of sql/notes/add.sql [contract]
    -- returns: optional Note
       ^
DETAIL:
    id: int       id: int
    text: str     text: str
               |  stars: int | None
HINT: select the same columns in the same order, or name another row in 'returns:'
""",
    ),
    "two files that claim one name": (
        {"sql/notes/get.sql": GET, "sql/notes.sql": GET},
        """\
sql/notes.sql: the file and the folder sql/notes claim one name, notes [sql-file]
HINT: rename the file, or move it into the folder
""",
    ),
    "a table that does not exist": (
        {"sql/notes/get.sql": GET.replace("from notes", "from note")},
        """\
sql/notes/get.sql:4:6: relation "note" does not exist [refused]
    from note as n
         ^
""",
    ),
    "a header that names a parameter the query lacks": (
        {"sql/notes/get.sql": _with(GET, "-- param idd: 1..5")},
        """\
sql/notes/get.sql:2:10: the query has no parameter :idd [sql-file]
    -- param idd: 1..5
             ^
HINT: did you mean id?
""",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_bad_sql_file_is_one_message_and_is_left_out(write: Write, command: Command, case: str) -> None:
    files, message = FILES[case]
    folder = write(NOTES | files)
    before = tree(folder)
    done = command("generate")
    assert (done.code, done.err) == (1, "")
    path = message.partition(":")[0].partition("\n")[0]
    name = path.removeprefix("sql/").removesuffix(".sql").replace("/", ".")
    others = sum(path.endswith(".sql") for path in NOTES | files if path.startswith("sql/")) - 1
    assert _trimmed(done.out) == (
        f"{message}\nwrote: queries/notes.py\nleft out: {name}\n"
        f"1 error; the others are up to date: {others} {'query' if others == 1 else 'queries'} in 1 module, "
        "0.0 s\n"
    )
    after = tree(folder)
    assert f'"{name}"'.encode() not in after.pop("queries/notes.py")
    assert after == before


def test_check_says_all_of_it_in_the_order_of_the_places(write: Write, command: Command) -> None:
    messages = [FILES["an empty file"], FILES["an unknown key"]]
    write(NOTES | {"sql/notes/a.sql": "", "sql/notes/get.sql": messages[1][0]["sql/notes/get.sql"]})
    done = command("check")
    assert (done.code, done.err) == (1, "")
    first, second = messages[0][1].replace("get.sql", "a.sql"), messages[1][1]
    assert done.out == f"{first}\n{second}\n2 problems in 1 query, 0.0 s\n"


FOLDERS = {
    "empty": (
        "",
        (
            "sql: there is no SQL file in this folder [sql-file]\n"
            "HINT: add a query file, whose name ends in .sql\n"
        ),
    ),
    # A link to itself cannot be read by root either, as whom tests may run.
    "unreadable": (
        "sql",
        (
            "sql: the folder cannot be read: too many levels of symbolic links [sql-file]\n"
            "HINT: check its permissions\n"
        ),
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_cannot_be_read_is_named(write: Write, command: Command, case: str) -> None:
    link, message = FOLDERS[case]
    folder = write({"pyproject.toml": "[tool.plainsql]\n"})
    if link == "":
        (folder / "sql").mkdir()
    else:
        (folder / "sql").symlink_to(link)
    done = command("check")
    assert done.code == 1
    assert done.out == f"{message.format(folder=folder)}\n1 problem in 0 queries, 0.0 s\n"
    assert command("run", "notes.get").code == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_this_user_may_not_read_is_named(write: Write, command: Command) -> None:
    folder = write(NOTES)
    (folder / "sql").chmod(0)
    try:
        done = command("check")
    finally:
        (folder / "sql").chmod(0o755)
    assert done.out.startswith("sql: the folder cannot be read: permission denied [sql-file]\n")


KEYS = ", ".join(sorted({field.name for field in fields(Project)} - {"root", "name", "is_database"}))
SETTINGS = {
    "an unknown key": (
        '[tool.plainsql]\nqueries = "sql"\n',
        (f"{{file}}: unknown key 'queries' in [tool.plainsql]\nHINT: the keys are {KEYS}\n"),
    ),
    "no string": (
        "[tool.plainsql]\nsql = 1\n",
        "{file}: sql in [tool.plainsql]: expected a string, got a number\n",
    ),
    "no TOML": (
        "[tool.plainsql\n",
        "{file}: cannot be read: Expected ']' at the end of a table declaration (at line 1, column 15)\n",
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_cannot_be_read_are_one_message(write: Write, command: Command, case: str) -> None:
    text, message = SETTINGS[case]
    folder = write(NOTES | {"pyproject.toml": text})
    for name in ("check", "generate"):
        done = command(name)
        assert (done.code, done.out) == (2, "")
        assert done.err == message.format(file=folder / "pyproject.toml")


# -- Servers


@pytest.fixture(scope="module")
def guarded() -> Iterator[EmbeddedServer]:
    """A server that requires passwords."""
    with embedded.start(scratch=True, auth="scram", tcp=True) as server:
        yield server


USES = (["check"], ["generate"], ["migrate"], ["run", "notes.add", "text=x"])


def _configure(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Name a database, for checks as well."""
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("PLAINSQL_SCRATCH_URL", url)


def _refused_everywhere(command: Command, message: str, *, unlike: tuple[str, ...] = ()) -> None:
    for arguments in USES:
        done = command(*arguments)
        assert (done.code, done.out, done.err) == (2, "", message), arguments
        assert not [word for word in unlike if word in done.err]


def test_a_wrong_password_is_said_without_the_password(
    write: Write, command: Command, guarded: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(NOTES)
    _configure(monkeypatch, guarded.url("postgres", "postgres", password="hunter2", tcp=True))
    _refused_everywhere(
        command,
        f"cannot connect to postgresql://postgres:***@127.0.0.1:{guarded.port}/postgres?sslmode=disable:"
        " the server refuses the password of postgres\n"
        "HINT: check the password in the URL, DATABASE_URL or DB_PASSWORD\n",
        unlike=("hunter2",),
    )


def test_a_server_that_is_down_is_said_without_the_password(
    write: Write, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(NOTES)
    # Only root can listen on port 1, and no server does.
    _configure(monkeypatch, "postgresql://shop:hunter2@127.0.0.1:1/shop")
    _refused_everywhere(
        command,
        "cannot connect to postgresql://shop:***@127.0.0.1:1/shop: no server answers there\n"
        "HINT: start the server, or check the host and port in the URL\n",
        unlike=("hunter2",),
    )


def test_a_database_that_does_not_exist_is_named(
    write: Write, command: Command, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(NOTES)
    _configure(monkeypatch, url := server.url("no such"))
    _refused_everywhere(
        command,
        f"cannot connect to {url}: the database 'no such' does not exist\n"
        "HINT: create it: createdb 'no such'\n",
    )


@pytest.mark.parametrize("url", ["shop", "postgresql://shop:hunter2@localhost:none/shop"])
def test_a_url_that_cannot_be_read_is_not_repeated(
    write: Write, command: Command, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    write(NOTES)
    _configure(monkeypatch, url)
    for arguments in USES:
        done = command(*arguments)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("the database URL cannot be read\n")
        assert "HINT: a URL looks like " in done.err
        assert "hunter2" not in done.err


# -- Migrations


def _tables(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute("select tablename::text from pg_tables where schemaname = 'public'")
        # The records of yoyo and plainsql are there once the first migration was tried.
        return [name for (name,) in found if not name.startswith(("_yoyo", "yoyo", "plainsql"))]


def _scratch_databases(url: str, folder: Path) -> list[str]:
    own = sha256(os.fsencode(folder.resolve() / "migrations")).hexdigest()[:8]
    with psycopg.connect(url) as connection:
        query = "select datname::text from pg_database where datname like %s"
        found = connection.execute(query, [f"%{own}%"])
        return [name for (name,) in found]


def test_a_migration_that_fails_half_way_keeps_nothing(
    write: Write, command: Command, configured: str
) -> None:
    folder = write(
        NOTES
        | {
            "migrations/0002_more.sql": "create table more (id int);\nalter table notes add colour txt;\n",
            "migrations/0002_more.rollback.sql": "drop table more;\n",
        }
    )
    before = tree(folder)
    done = command("migrate")
    assert (done.code, done.out) == (1, "0001_notes … 0.0 s\n0002_more … failed\n")
    assert done.err == MIGRATION_FAILED
    assert _tables(configured) == ["notes"]
    for name in ("check", "generate"):
        done = command(name)
        assert done.code == 2
        assert done.err == MIGRATION_FAILED + ON_THE_SCRATCH_DATABASE
    assert _scratch_databases(configured, folder) == []
    assert tree(folder) == before


MIGRATION_FAILED = """\
migrations/0002_more.sql:2:30: type "txt" does not exist (SQLSTATE 42704)
    alter table notes add colour txt;
                                 ^
DETAIL: statement 2 of 2: alter table notes add colour txt
        nothing of this file was kept
        completed before it, and kept: 0001_notes
"""
ON_THE_SCRATCH_DATABASE = "        on the scratch database, which is dropped: no other database was changed\n"


def test_a_missing_extension_is_reported_with_its_place(
    write: Write, command: Command, configured: str
) -> None:
    # A substitute for a server without pgvector: the test's server has it, and not this one.
    write(NOTES | {"migrations/0001_notes.sql": "create extension pgvector;\n"})
    done = command("migrate")
    assert (done.code, done.out) == (1, "0001_notes … failed\n")
    assert (
        done.err
        == """\
migrations/0001_notes.sql:1:1: extension "pgvector" is not available (SQLSTATE 0A000)
    create extension pgvector;
    ^
DETAIL: statement 1 of 1: create extension pgvector
        nothing of this file was kept
HINT: The extension must first be installed on the system where PostgreSQL is running.
"""
    )
    assert _tables(configured) == []


def test_a_role_that_may_not_create_the_extension_gets_the_servers_error(
    write: Write, command: Command, configured: str, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(NOTES | {"migrations/0001_notes.sql": "create extension vector;\n"})
    database = conninfo_to_dict(configured)["dbname"]
    role = f"{database}_app"
    with psycopg.connect(configured, autocommit=True) as connection:
        connection.execute(f"create role {role} login".encode())
        connection.execute(f"grant create, usage on schema public to {role}".encode())
    try:
        monkeypatch.setenv("DATABASE_URL", server.url(str(database), role))
        done = command("migrate")
        assert (done.code, done.out) == (1, "0001_notes … failed\n")
        assert (
            done.err
            == """\
migrations/0001_notes.sql:1:1: permission denied to create extension "vector" (SQLSTATE 42501)
    create extension vector;
    ^
DETAIL: statement 1 of 1: create extension vector
        nothing of this file was kept
HINT: Must be superuser to create this extension.
"""
        )
    finally:
        with psycopg.connect(configured, autocommit=True) as connection:
            connection.execute(f"drop owned by {role}; drop role {role}".encode())


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n"))
