"""``plainsql db export`` and ``import``, as a user runs them."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import psycopg
import pytest

from plainsql import migrate
from plainsql.layers.files import migrations_folder
from plainsql.layers.realty import sample
from plainsql.testing import Databases
from plainsql.transfer import create_file, export_schemas
from tests.cli.conftest import Command, Write

REALTY = functools.partial(migrate.apply, folder=migrations_folder("realty").parent, layers=["realty"])
SHOP = {
    "pyproject.toml": "[tool.plainsql]\n",
    "migrations/shop/0001_notes.sql": (
        "create schema shop;\ncreate table shop.notes (id integer primary key, text text not null);\n"
    ),
    "migrations/shop/0001_notes.rollback.sql": "drop table shop.notes;\ndrop schema shop;\n",
}
COUNT = "select count(*) from shop.notes"


def fill(url: str) -> None:
    """Load realty's sample data."""
    with psycopg.connect(url) as connection:
        for table in sample.tables(now=datetime(2026, 1, 1, tzinfo=UTC), properties=80, leads=20):
            columns = ", ".join(table.columns)
            query = f"copy realty.{table.name} ({columns}) from stdin".encode()
            with connection.cursor().copy(query) as copy:
                for row in table.rows:
                    copy.write_row([str(value) if isinstance(value, list) else value for value in row])


@contextmanager
def running(
    *arguments: str,
    url: str,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
) -> Generator[subprocess.Popen[bytes]]:
    """A command as a process, to be interrupted."""
    with subprocess.Popen(
        [sys.executable, "-m", "plainsql", "db", *arguments],
        env={**os.environ, "DATABASE_URL": url},
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    return process.wait(timeout=60), process.stderr.read()


def copying(url: str) -> bool:
    """Return True if a copy runs in the database."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_progress_copy where datname = current_database()"
        ).fetchone()
    return row is not None and row[0] > 0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def shop_notes_url(write: Write, command: Command, configured: str) -> str:
    """The URL of a database with notes."""
    write(SHOP)
    assert command("migrate").code == 0
    with psycopg.connect(configured, autocommit=True) as connection:
        connection.execute("insert into shop.notes select n, 'note ' || n from generate_series(1, 3000) as n")
    return configured


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_realty_with_its_vectors_comes_back_to_the_byte(
    suffix: str, plainsql_databases: Databases, tmp_path: Path, command: Command
) -> None:
    one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    template = plainsql_databases.template(REALTY)
    with plainsql_databases.clone(template) as source, plainsql_databases.clone(template) as target:
        fill(source)
        exported = command("db", "export", "realty", "-o", str(one), "--database", source, "--json")
        told = json.loads(exported.out)
        assert told["rows"]["realty.properties"] == 80
        assert told["bytes"] == one.stat().st_size
        imported = command("db", "import", str(one), "--database", target, "--json")
        assert json.loads(imported.out)["rows"] == told["rows"]
        assert command("db", "export", "-o", str(two), "--database", target).code == 0
        assert one.read_bytes() == two.read_bytes()
        again = command("db", "import", str(one), "--database", target)
        assert again.code == 1
        assert again.err.startswith("these tables are not empty: realty.")
        assert again.err.endswith("nothing was imported\n")
        assert command("db", "import", str(one), "realty", "--database", target, "--replace").code == 0


def test_a_file_is_not_overwritten_unasked(shop_notes_url: str, command: Command) -> None:
    path = Path("out.jsonl")
    assert (
        command("db", "export", "-o", "out.jsonl").out
        == "exported 3,000 rows of 1 tables (shop) to out.jsonl\n"
    )
    path.write_text("mine")
    refused = command("db", "export", "-o", "out.jsonl")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == "out.jsonl: the file exists\nHINT: choose another name, or add --force\n"
    assert path.read_text() == "mine"
    assert command("db", "export", "-o", "out.jsonl", "--force").code == 0
    assert path.read_bytes().count(b"\n") == 3003


def test_a_pipe_moves_rows_from_one_database_to_another(
    shop_notes_url: str, plainsql_databases: Databases
) -> None:
    with plainsql_databases.clone() as other:
        migrate.apply(other, "migrations")
        with running("export", "-o", "-", url=shop_notes_url, stdout=subprocess.PIPE) as source:
            with running("import", "-", url=other, stdin=source.stdout) as target:
                assert target.stderr is not None
                assert target.stderr.read().decode() == ""
                assert target.wait(timeout=60) == 0
            assert source.wait(timeout=60) == 0
        with psycopg.connect(other) as connection:
            assert connection.execute(COUNT).fetchone() == (3000,)


def test_a_schema_that_is_no_layer_is_said_to_be_left_out(
    write: Write, command: Command, configured: str
) -> None:
    write(SHOP)
    assert command("migrate").code == 0
    with psycopg.connect(configured) as connection:
        connection.execute("create schema beside; create table beside.things (id integer)")
    left_out = "left out: the schema beside is no layer: there is no folder of migrations of that name\n"
    assert command("db", "export", "-o", "all.jsonl").err == left_out
    assert command("db", "stats").err == left_out
    assert command("db", "export", "shop", "-o", "shop.jsonl").err == ""
    assert command("db", "stats", "shop").err == ""


def test_json_and_the_rows_do_not_share_the_standard_output(shop_notes_url: str, command: Command) -> None:
    done = command("db", "export", "-o", "-", "--json")
    assert (done.code, done.out) == (2, "")
    assert done.err == "--json and -o - both write to the standard output\n"


def test_an_export_that_is_interrupted_leaves_no_file(shop_notes_url: str, command: Command) -> None:
    with psycopg.connect(shop_notes_url, autocommit=True) as connection:
        connection.execute(
            "insert into shop.notes select n, repeat('note ', 40) from generate_series(3001, 300000) as n"
        )
    before = {path.name for path in Path().iterdir()}
    with running("export", "-o", "out.jsonl", url=shop_notes_url) as process:
        wait_until(lambda: any(path.stat().st_size for path in Path().glob(".out.jsonl.*.unfinished")))
        assert not Path("out.jsonl").exists()
        assert interrupted(process) == (130, b"interrupted; nothing is left of the export\n")
    assert {path.name for path in Path().iterdir()} == before


def test_an_import_that_is_interrupted_leaves_nothing(shop_notes_url: str, command: Command) -> None:
    command("db", "export", "-o", "out.jsonl")
    content = Path("out.jsonl").read_bytes()
    with running("import", "-", "shop", "--replace", url=shop_notes_url, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(content[: len(content) // 2])
        process.stdin.flush()
        wait_until(lambda: copying(shop_notes_url))
        code, said = interrupted(process)
        assert code == 130
        assert said.endswith(b"\n  shop.notes: 3,000 rows\ninterrupted\n")
    assert command("db", "export", "-o", "again.jsonl").code == 0
    assert Path("again.jsonl").read_bytes() == content


def test_a_database_at_another_migration_is_refused(
    shop_notes_url: str, command: Command, write: Write
) -> None:
    command("db", "export", "-o", "out.jsonl")
    write(
        {
            "migrations/shop/0002_more.sql": "alter table shop.notes add stars integer;\n",
            "migrations/shop/0002_more.rollback.sql": "alter table shop.notes drop stars;\n",
        }
    )
    command("migrate")
    refused = command("db", "import", "out.jsonl", "--replace")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        "out.jsonl: shop has other migrations in this database than in the file\n"
        "DETAIL: applied in this database, not in the file: 0002_more\n"
        "HINT: import it into a database that has the file's migrations, then migrate that one\n"
        "nothing was imported\n"
    )
    command("db", "export", "-o", "newer.jsonl")
    command("migrate", "rollback")
    refused = command("db", "import", "newer.jsonl", "--replace")
    assert "DETAIL: applied in the file, not in this database: 0002_more\n" in refused.err
    assert "HINT: plainsql migrate --layer shop, then import again\n" in refused.err


def test_a_wrong_file_is_reported_before_the_database_is_used(shop_notes_url: str, command: Command) -> None:
    command("db", "export", "-o", "out.jsonl")
    content = Path("out.jsonl").read_bytes()
    Path("out.jsonl").write_bytes(content[:-1])
    refused = command(
        "db", "import", "out.jsonl", "--database", "postgresql://nobody:secret@127.0.0.1:1/none"
    )
    assert refused.code == 1
    assert refused.err.startswith("out.jsonl:3003: the file ends before its last line: it is cut short\n")
    assert command("db", "import", "none.jsonl").code == 2


def test_a_missing_layer_is_reported(shop_notes_url: str, command: Command) -> None:
    wrong = command("db", "export", "shopp", "-o", "out.jsonl")
    assert (wrong.code, wrong.err) == (2, "there is no layer 'shopp'\nHINT: did you mean shop?\n")
    missing = command("db", "export", "realty", "-o", "out.jsonl")
    assert missing.err == "the database has no schema realty\nHINT: plainsql migrate --layer realty\n"
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_export_leaves_no_file(
    kind: signal.Signals, shop_notes_url: str, command: Command
) -> None:
    with psycopg.connect(shop_notes_url, autocommit=True) as connection:
        connection.execute(
            "insert into shop.notes select n, repeat('note ', 40) from generate_series(3001, 300000) as n"
        )
    before = {path.name for path in Path().iterdir()}
    with running("export", "-o", "out.jsonl", url=shop_notes_url) as process:
        wait_until(lambda: any(path.stat().st_size for path in Path().glob(".out.jsonl.*.unfinished")))
        process.send_signal(kind)
        assert process.stderr is not None
        assert process.wait(timeout=60) == 128 + kind
        assert process.stderr.read().decode() == "interrupted; nothing is left of the export\n"
    assert {path.name for path in Path().iterdir()} == before


KILLED = """
import os, pathlib
from plainsql.transfer import create_file
with create_file(pathlib.Path("out.jsonl")) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), 9)
"""


def test_the_next_export_removes_the_leftovers_of_a_killed_one(shop_notes_url: str, command: Command) -> None:
    subprocess.run([sys.executable, "-c", KILLED], stdin=subprocess.DEVNULL, check=False)
    (left,) = Path().glob(".out.jsonl.*.unfinished")
    with create_file(Path("out.jsonl"), overwrite=True) as file:
        done = command("db", "export", "-o", "out.jsonl")
        assert (done.code, done.err) == (0, f"removed {left}: an earlier export was killed\n")
        assert not left.exists()
        assert list(Path().glob(".out.jsonl.*.unfinished")), "one that is being written is left alone"
        file.write(b"whole")
    assert Path("out.jsonl").read_bytes() == b"whole"


def test_a_full_standard_output_is_one_line(shop_notes_url: str, process: Command) -> None:
    with (
        Path("/dev/full").open("wb") as full,
        running("export", "-o", "-", url=shop_notes_url, stdout=full.fileno()) as p,
    ):
        assert p.stderr is not None
        assert p.wait(timeout=60) == 2
        assert p.stderr.read().decode() == "the standard output: no space left on device\n"


# A file system that this process alone sees, too small for the rows.
FULL_DISK = """
mount -t tmpfs -o size=100k none small 2>/dev/null || exit 77
"$@"
code=$?
ls -A small >&2
exit $code
"""


@pytest.mark.parametrize("name", ["f.jsonl", "f.jsonl.gz"])
def test_a_full_disk_is_one_line_with_the_path(name: str, shop_notes_url: str) -> None:
    if not shutil.which("unshare"):
        pytest.skip("needs mount namespaces")
    with psycopg.connect(shop_notes_url, autocommit=True) as connection:
        connection.execute(
            "insert into shop.notes select n, md5(n::text) || md5(n::text || 'x')"
            " from generate_series(3001, 30000) as n"
        )
    Path("small").mkdir()
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    export = [sys.executable, "-m", "plainsql", "db", "export", "-o", f"small/{name}"]
    done = subprocess.run(
        ["unshare", *root, "--mount", "sh", "-c", FULL_DISK, "sh", *export],
        env={**os.environ, "DATABASE_URL": shop_notes_url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip("no file system can be mounted here")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"small/{name}: no space left on device\n", "and nothing is left on it"


def test_replacing_needs_the_layers_names_and_shows_the_lost_rows(
    shop_notes_url: str, command: Command
) -> None:
    command("db", "export", "-o", "out.jsonl")
    with psycopg.connect(shop_notes_url, autocommit=True) as connection:
        connection.execute("insert into shop.notes values (4000, 'newer')")
    for name in ("out.jsonl", "-"):
        if name == "-":
            with (
                Path("out.jsonl").open("rb") as file,
                running("import", "-", "--replace", url=shop_notes_url, stdin=file) as process,
            ):
                assert process.stderr is not None
                code, said = process.wait(timeout=60), process.stderr.read().decode()
        else:
            done = command("db", "import", name, "--replace")
            code, said = done.code, done.err
        first, *rest = said.splitlines()
        assert code == 1
        assert first.startswith("would be replaced in postgresql://")
        assert rest == [
            "  shop.notes: 3,001 rows",
            "the layers to replace are not named",
            f"HINT: if they are these: plainsql db import {name} shop --replace",
            "nothing was imported",
        ]
        with psycopg.connect(shop_notes_url) as connection:
            assert connection.execute(COUNT).fetchone() == (3001,)
    done = command("db", "import", "out.jsonl", "shop", "--replace")
    assert done.code == 0
    assert done.err.splitlines()[0].startswith("to be replaced in postgresql://")
    assert done.err.splitlines()[1:] == ["  shop.notes: 3,001 rows"]
    done = command("db", "import", "out.jsonl", "shop", "--replace", "--json")
    assert (done.err, json.loads(done.out)["replaced"]) == ("", {"shop.notes": 3000})


@pytest.mark.parametrize("replace", [False, True])
def test_a_schema_that_is_no_layer_is_not_imported(
    replace: bool, shop_notes_url: str, command: Command
) -> None:
    with psycopg.connect(shop_notes_url, autocommit=True) as connection:
        connection.execute("create schema secret; create table secret.users (id integer, name text)")
        connection.execute("insert into secret.users values (7, 'root')")
        with create_file(Path("f.jsonl")) as file:
            export_schemas(connection, ["secret"], file)
        options = ["--replace"] if replace else []
        for names in ([], ["shop"]):
            done = command("db", "import", "f.jsonl", *names, *options)
            assert done.code == 1
            assert re.match(r"f.jsonl:1: expected rows of .*shop.*, got the schema secret\nHINT: ", done.err)
            assert done.err.endswith("nothing was imported\n")
        assert command("db", "import", "f.jsonl", "secret", *options).code == 2
        assert connection.execute("select * from secret.users").fetchall() == [(7, "root")]


def test_a_layer_that_was_not_named_is_not_imported(shop_notes_url: str, command: Command) -> None:
    command("db", "export", "-o", "out.jsonl")
    done = command("db", "import", "out.jsonl", "realty", "--replace")
    assert done.code == 1
    assert done.err.startswith("out.jsonl:1: expected rows of realty, got the schema shop\n")


def test_a_long_line_is_refused_unless_an_option_allows_it(shop_notes_url: str, command: Command) -> None:
    with psycopg.connect(shop_notes_url, autocommit=True) as connection:
        connection.execute("insert into shop.notes values (0, repeat('x', 2000000))")
    command("db", "export", "-o", "out.jsonl")
    done = command("db", "import", "out.jsonl", "shop", "--replace", "--max-line", "1")
    assert done.code == 1
    assert done.err.startswith("out.jsonl:3: this line is longer than 1 MiB\nHINT: add --max-line MIB ")
    assert command("db", "import", "out.jsonl", "shop", "--replace", "--max-line", "2").code == 0
    assert command("db", "import", "out.jsonl", "shop", "--replace", "--max-line", "0").code == 2
