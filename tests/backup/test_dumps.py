"""``plainsql db backup`` and ``db restore``: what comes back, and what is refused."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import msgspec
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from plainsql.backup import BackupError, Manifest, create_dump, restore_dump
from plainsql.backup.backup_folder import new_folder
from plainsql.backup.child_process import running
from plainsql.backup.manifest import MANIFEST, authenticate, read_manifest
from plainsql.cli.app import main
from plainsql.crypto.file_encryption import FILE_KEYS_VARIABLE, FileKeys
from plainsql.embedded import EmbeddedServer
from plainsql.errors import PlainsqlError
from tests.backup.conftest import (
    KEY,
    KEYS,
    Stock,
    as_role,
    databases,
    forge,
    run,
    values,
    write_manifest,
)

Backup = tuple[Path, Manifest]


def test_an_encrypted_backup_comes_back_whole_on_a_private_server(
    stock: Stock, tmp_path: Path, keyed: None, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["db", "backup", "--to", str(tmp_path / "b"), "--database", stock.url, "--encrypt"]) == 0
    (folder,) = (tmp_path / "b").iterdir()
    assert capfd.readouterr().out.endswith(" bytes, encrypted with the key test\n")
    stored = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"note 1" not in stored
    assert b"PGDMP" not in stored
    assert b"empty_ones" not in stored
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o600"}
    assert main(["db", "restore", str(tmp_path / "b"), "--verify", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["differences"] == []
    assert told["tables"]["public.notes"] == 300
    assert told["tables"]['"Odd ""one"" x"."t%s"'] == 1
    assert told["tables"]["public.parents"] == 1


def test_a_restored_database_is_the_same_and_has_the_same_digests(
    stock: Stock, stock_backup: Backup, new_url: str, tmp_path: Path
) -> None:
    done = restore_dump(new_url, *stock_backup, verify=True)
    assert done.differences == []
    for query in (
        "select pg_get_userbyid(relowner) from pg_class where relname = 'empty_ones'",
        f"select has_table_privilege('{stock.reader}', 'notes', 'select')",
        "select encode(lo_get(loid), 'hex') from (select oid as loid from pg_largeobject_metadata) as l",
        "select count(*), sum(twice), max(at) from notes",
        "select last_value, is_called from notes_id_seq",
    ):
        assert values(new_url, query) == values(stock.url, query)
    with psycopg.connect(new_url, autocommit=True) as connection:
        for setting in (
            *("datestyle = 'German'", "intervalstyle = 'iso_8601'", "timezone = 'Asia/Tokyo'"),
            *("extra_float_digits = -5", "bytea_output = 'escape'"),
        ):
            run(connection, f'alter database "{connection.info.dbname}" set {setting}')
    folder, _ = create_dump(new_url, tmp_path)
    again, first = (json.loads((each / "contents.json").read_text()) for each in (folder, stock_backup[0]))
    assert again["tables"] == first["tables"]
    assert [None, "TimeZone=Asia/Tokyo"] in again["properties"]["settings"]


def test_a_database_with_objects_is_refused_and_replaced_when_asked(
    stock_backup: Backup, new_url: str, server: EmbeddedServer
) -> None:
    name = new_url.partition("/restored")[2].partition("?")[0]
    name = f"restored{name}"
    server.create_database(name)
    with psycopg.connect(new_url, autocommit=True) as connection:
        run(connection, "create table precious (n int)")
        run(connection, f"alter database {name} set search_path = 'a b', \"$user\", public")
        run(connection, f"alter database {name} set work_mem = '7MB'")
        run(connection, f"revoke connect on database {name} from public")
        with pytest.raises(BackupError, match=f"the database {name} is not empty"):
            restore_dump(new_url, *stock_backup)
        now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        done = restore_dump(new_url, *stock_backup, replace=True, clock=lambda: now)
        assert done.old_name == f"{name}_before_20260102t030405"
        with pytest.raises(psycopg.errors.AdminShutdown):  # it was connected to the old one
            run(connection, "select 1")
    assert values(new_url, "show search_path") == [('"a b", "$user", public',)]
    assert values(new_url, "show work_mem") == [("7MB",)]
    assert values(new_url, "select count(*) from notes") == [(300,)]
    granted = f"select has_database_privilege('public', '{name}', 'connect')"
    assert values(new_url, granted) == [(False,)]
    assert values(server.url(str(done.old_name)), "select count(*) from precious") == [(0,)]


def test_a_difference_is_found_and_nothing_is_restored(
    stock: Stock,
    stock_copy: Path,
    tmp_path: Path,
    new_url: str,
    capfd: pytest.CaptureFixture[str],
    server: EmbeddedServer,
) -> None:
    with psycopg.connect(stock.url) as connection:
        # The dump of other rows under the contents of these.
        run(
            connection,
            "update notes set part = 0.1 where id = 7; delete from measures where day < '2021-01-01'",
        )
        run(connection, "create table later (n int)")
        connection.commit()
        try:
            other, _ = create_dump(stock.url, tmp_path)
        finally:
            run(connection, "update notes set part = 7 / 3.0::float8 where id = 7; drop table later")
            run(connection, "insert into measures values ('2020-01-01', '-0'), ('2020-01-01', '-0')")
            connection.commit()
    shutil.copy(other / "dump.pgdump", stock_copy / "dump.pgdump")
    forge(stock_copy, lambda contents: None)
    assert main(["db", "restore", str(stock_copy), "--to", new_url, "--verify"]) == 1
    told = capfd.readouterr()
    assert told.out.splitlines()[1:] == [
        "  table public.later: it is not in the backup",
        "  public.measures_rest: expected 3 rows, got 1",
        "  public.notes: the rows differ, and there are as many (300)",
    ]
    assert told.err == "nothing was restored\n"
    assert databases(server, "restored_%" + new_url.partition("restored_")[2][:12]) == []


def flip(folder: Path) -> None:
    path = folder / "dump.pgdump"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(folder: Path) -> None:
    path = folder / "dump.pgdump"
    path.write_bytes(path.read_bytes()[:-1])


def rewrite(folder: Path, **fields: object) -> None:
    write_manifest(folder, msgspec.structs.replace(read_manifest(folder), **fields))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip, r"dump\.pgdump was changed after it was written: its digest differs"),
        (cut, r"dump\.pgdump: expected [\d,]+ bytes, got "),
        (lambda folder: (folder / "dump.pgdump").unlink(), r"dump\.pgdump is missing"),
        (lambda folder: (folder / MANIFEST).unlink(), "is no backup of plainsql: manifest.json is missing"),
        (
            lambda folder: (folder / MANIFEST).write_text("{"),
            "expected the manifest of a backup, got",
        ),
        (lambda folder: rewrite(folder, version=2), "expected version 1 of the format, got 2"),
        (lambda folder: rewrite(folder, server="19.1"), "expected a server of version 19 or newer, got 18"),
        (lambda folder: rewrite(folder, program="19.1"), "there is no pg_restore of PostgreSQL 19 or newer"),
        (
            lambda folder: rewrite(
                folder, files=(msgspec.structs.replace(read_manifest(folder).files[0], name="../x"),)
            ),
            r"'\.\./x' is not the name of a backup's file",
        ),
        (
            lambda folder: forge(folder, lambda c: c["extensions"].update(postgis="3.5")),
            "the server lacks extensions of the backup: postgis 3.5",
        ),
        (
            lambda folder: forge(folder, lambda c: c["roles"].append("nobody_like_this")),
            "the server lacks roles of the backup: nobody_like_this\nHINT: .* --no-owner",
        ),
    ],
)
def test_a_damaged_or_unsuitable_backup_is_refused(
    damage: Callable[[Path], object],
    message: str,
    stock_copy: Path,
    new_url: str,
    capfd: pytest.CaptureFixture[str],
    server: EmbeddedServer,
) -> None:
    damage(stock_copy)
    assert main(["db", "restore", str(stock_copy), "--to", new_url]) == 2
    (error,) = [capfd.readouterr().err]
    assert re.search(message, error, re.DOTALL), error
    assert databases(server, new_url.partition("restored_")[2][:12] + "%") == []


def test_an_encrypted_backup_needs_its_key_and_its_own_manifest(
    stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_url: str
) -> None:
    folder, manifest = create_dump(stock.url, tmp_path, keys=KEYS)
    arguments = ["db", "restore", str(folder), "--to", new_url]

    def message(keys: FileKeys | None) -> str:
        with pytest.raises(PlainsqlError) as error:
            restore_dump(new_url, folder, read_manifest(folder), keys=keys)
        return error.value.message

    assert message(None) == "the backup is encrypted with the key 'test', and PLAINSQL_BACKUP_KEYS is not set"
    # The files of another backup, which is as genuine, and a manifest that has them.
    other, foreign = create_dump(stock.url, tmp_path, keys=KEYS)
    for file in foreign.files:
        shutil.copy(other / file.name, folder / file.name)
    forged = msgspec.structs.replace(
        manifest, files=foreign.files, authentication=read_manifest(folder).authentication
    )
    (folder / MANIFEST).write_bytes(msgspec.json.encode(forged))
    assert message(KEYS) == "manifest.json was changed, or the key 'test' here is another one"
    monkeypatch.setenv(FILE_KEYS_VARIABLE, f"other:{KEY}")
    assert main(arguments) == 2


def test_with_keys_a_backup_without_one_and_an_old_one_are_told(
    stock_backup: Backup, stock_copy: Path, new_url: str, keyed: None, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["db", "restore", str(stock_copy.parent), "--to", new_url]
    assert main(arguments) == 2
    refused = "is not encrypted: expected an encrypted one, as PLAINSQL_BACKUP_KEYS is set\nHINT: anyone can"
    assert refused in capfd.readouterr().err
    rewrite(stock_copy, finished=stock_backup[1].finished - timedelta(hours=30))
    assert main([*arguments, "--unencrypted", "--max-age", "26"]) == 1
    assert capfd.readouterr().err == f"{stock_copy} is 30.0 hours old: expected at most 26\n"
    rewrite(stock_copy, finished=stock_backup[1].finished + timedelta(hours=30))
    assert main([*arguments, "--unencrypted", "--max-age", "26", "--replace"]) == 1
    assert "is dated in the future" in capfd.readouterr().err


def test_odd_names_and_encodings_come_back(
    server: EmbeddedServer, tmp_path: Path, new_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    name = f"{'ü' * 15} \"%s'/\n{secrets.token_hex(6)}"
    url = server.url("NAME").replace("NAME", quote(name, safe=""))
    with psycopg.connect(server.url(), autocommit=True) as connection:
        create = "create database {} encoding {} template template0 locale_provider libc locale 'C'"
        connection.execute(SQL(create).format(Identifier(name), "SQL_ASCII"))
        try:
            with psycopg.connect(url, autocommit=True) as ascii_only:
                run(ascii_only, "create table t as select convert_from('\\xfffe', 'SQL_ASCII') as n")
            backup = create_dump(url, tmp_path)
            old = restore_dump(url, *backup, replace=True, verify=True).old_name
            assert (old,) in databases(server, f"{'ü' * 15}%")
        finally:
            for (each,) in databases(server, f"{'ü' * 15}%"):
                connection.execute(SQL("drop database {}").format(Identifier(each)))
        # The digests are of the text, in whatever encoding it is stored.
        latin, target = f"restored_latin_{secrets.token_hex(6)}", new_url.partition("@/")[2].partition("?")[0]
        connection.execute(SQL(create).format(Identifier(latin), "LATIN1"))
        server.create_database(target)
        try:
            with psycopg.connect(server.url(latin), autocommit=True) as connection_to_latin:
                run(connection_to_latin, "create table t as select u&'\\00fc' as n")
            done = restore_dump(new_url, *create_dump(server.url(latin), tmp_path), verify=True)
            assert done.differences == []
        finally:
            server.drop_database(latin)


def test_two_backups_of_one_second_have_two_names(tmp_path: Path) -> None:
    with (
        new_folder(tmp_path / "shop", or_numbered=True) as first,
        new_folder(tmp_path / "shop", or_numbered=True) as second,
    ):
        for each in (first, second):
            (each.path / "manifest.json").touch()
    assert (second.place.name, first.place.name) == ("shop", "shop-2")
    with pytest.raises(BackupError, match="shop exists"), new_folder(tmp_path / "shop"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shop", "shop-2"]


def test_a_role_that_may_not_read_or_create_is_told(
    stock: Stock, stock_backup: Backup, tmp_path: Path, new_url: str
) -> None:
    role = f"limited_{secrets.token_hex(6)}"
    with psycopg.connect(stock.url, autocommit=True) as connection:
        run(connection, f"create role {role} login")
    try:
        with pytest.raises(BackupError, match="permission denied for schema"):
            create_dump(as_role(stock.url, role), tmp_path / "b")
        with psycopg.connect(stock.url, autocommit=True) as connection:
            run(connection, f"grant pg_read_all_data to {role}; alter role {role} bypassrls")
        with pytest.raises(BackupError, match="permission denied for large object"):
            create_dump(as_role(stock.url, role), tmp_path / "b")
        with pytest.raises(BackupError, match="this role may not create a database"):
            restore_dump(as_role(new_url, role), *stock_backup)
    finally:
        with psycopg.connect(stock.url, autocommit=True) as connection:
            run(connection, f"drop role {role}")
    assert list(tmp_path.iterdir()) == []


def test_what_pg_restore_says_is_told_without_values(
    fresh_database_url: str, tmp_path: Path, new_url: str, server: EmbeddedServer
) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        # The dump loads the rows before those that its check reads.
        run(
            connection,
            "create table a_secrets (t text); create table limits (n int); insert into limits values (1);"
            "create function fits() returns boolean language sql immutable as"
            " 'select exists (select from public.limits)';"
            "alter table a_secrets add check (fits()); insert into a_secrets values ('a secret value')",
        )
    with pytest.raises(BackupError) as error:
        restore_dump(new_url, *create_dump(fresh_database_url, tmp_path))
    assert error.value.message == "pg_restore ended with exit code 1"
    assert 'new row for relation "a_secrets" violates check constraint' in str(error.value.detail)
    assert "secret value" not in str(error.value)
    assert databases(server, new_url.partition("restored_")[2][:12] + "%") == []


def test_a_quoted_value_is_left_out_of_a_message() -> None:
    said = (
        'pg_restore: error: COPY failed for table "t": ERROR:  invalid input syntax for type integer: "17 x"',
        'CONTEXT:  COPY t, line 1, column n: "17 x"',
        'pg_restore: hint: look at "t"',
    )
    script = "import sys; print(sys.argv[1], file=sys.stderr); sys.exit(3)"
    with running([sys.executable, "-c", script, "\n".join(said)], {}) as child:
        error = child.failure("pg_restore")
    assert str(error) == (
        "pg_restore ended with exit code 3\n"
        'DETAIL: COPY failed for table "t": ERROR:  invalid input syntax for type integer: …\n'
        'HINT: look at "t"'
    )


def test_old_backups_are_removed_and_never_the_newest_or_a_stranger(
    stock_backup: Backup, tmp_path: Path
) -> None:
    from plainsql.backup import remove_old_backups

    now = datetime(2026, 11, 30, tzinfo=UTC)
    newest = stock_backup[1]

    def put(name: str, days: int, **fields: object) -> Manifest:
        folder = shutil.copytree(stock_backup[0], tmp_path / name)
        return write_manifest(
            folder, msgspec.structs.replace(newest, finished=now - timedelta(days=days), **fields)
        )

    last = [put(f"stock-{days}", 5 - days) for days in range(6)][-1]
    put("damaged", 0)
    (tmp_path / "damaged" / "dump.pgdump").write_bytes(b"")
    put("future", -90)
    put("other", 90, database="other")
    put("other-server", 90, cluster="1")
    put("with-more", 90)
    (tmp_path / "with-more" / "mine.txt").touch()
    (tmp_path / "link").symlink_to(tmp_path / "stock-0")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder").mkdir()
    strangers = {"damaged", "future", "other", "other-server", "with-more", "link", "notes.txt", "folder"}

    def left() -> set[str]:
        return {path.name for path in tmp_path.iterdir()} - strangers

    assert remove_old_backups(tmp_path, last, keep=None, keep_days=None, now=now).removed == []
    done = remove_old_backups(tmp_path, last, keep=2, keep_days=3, now=now)
    assert left() == {"stock-3", "stock-4", "stock-5"}
    size = f"{newest.files[0].bytes:,} bytes"
    assert done.left == [
        f"{tmp_path / 'damaged'} is not whole, and is left alone: dump.pgdump is not of {size}",
        f"{tmp_path / 'future'} does not count, and is left alone: it is dated in the future",
        f"{tmp_path / 'with-more'} is old, and is left alone: plainsql did not write mine.txt",
    ]
    remove_old_backups(tmp_path, last, keep=2, keep_days=None, now=now)
    assert left() == {"stock-4", "stock-5"}
    remove_old_backups(tmp_path, last, keep=None, keep_days=1, now=now + timedelta(days=900))
    assert left() == {"stock-5"}
    assert strangers <= {path.name for path in tmp_path.iterdir()}
    # With keys, only those count that one of them has authenticated.
    for name, key, code in (("real", "test", None), ("forged", "test", "00"), ("lost", "gone", "00")):
        manifest = put(name, 900, key=key)
        manifest = msgspec.structs.replace(
            manifest, authentication=code or authenticate(manifest, KEYS).authentication
        )
        write_manifest(tmp_path / name, manifest)
    last = authenticate(put("last", 0, key="test"), KEYS)
    write_manifest(tmp_path / "last", last)
    done = remove_old_backups(tmp_path, last, keep=1, keep_days=None, now=now, keys=KEYS)
    assert done.removed == [tmp_path / "real"]
    assert [line.rpartition(": ")[2] for line in done.left if "does not count" in line] == [
        "its manifest was changed",
        "it is dated in the future",
        "its key 'gone' is not there",
        "it is not encrypted",
        "it is not encrypted",
    ]
