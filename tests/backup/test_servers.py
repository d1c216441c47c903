"""Backups of whole servers, and of servers of another version."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest

from plainsql import embedded, server_programs
from plainsql.backup import (
    BackupError,
    create_base_backup,
    create_dump,
    restore_dump,
    unpack_base_backup,
)
from plainsql.backup.stored_files import read_contents_file
from plainsql.cli.app import main
from plainsql.embedded.binaries import Binaries
from plainsql.embedded.privileges import choose_identity
from tests.backup.conftest import KEYS, values
from tests.failover import Node, new_node

_AT_LEAST_THE_PRIMARYS = ("max_connections", "max_worker_processes", "max_wal_senders")
OLD = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture
def short_folder() -> Generator[Path]:
    """A folder of a short name: the path of a socket must be short."""
    folder = Path(tempfile.mkdtemp(prefix="psql-bk-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_physical_backup_is_a_server_again(short_folder: Path, tmp_path: Path) -> None:
    with embedded.start(scratch=True) as source, new_node(short_folder / "a") as node:
        source.execute("create table notes as select n from generate_series(1, 5) as n")
        source.execute("create unlogged table fast (n serial); insert into fast default values")
        folder, manifest = create_base_backup(source.url(), tmp_path, keys=KEYS)
        assert [file.name for file in manifest.files] == ["base.tar.gz"]
        damaged = Path(shutil.copytree(folder, tmp_path / "damaged"))
        with (damaged / "base.tar.gz").open("r+b") as file:
            file.truncate(1 << 20)
        with pytest.raises(BackupError, match=r"base\.tar\.gz: expected "):
            unpack_base_backup(damaged, manifest, node.data, keys=KEYS)
        assert not node.data.exists()
        assert list(node.folder.iterdir()) == []
        unpack_base_backup(folder, manifest, node.data, keys=KEYS, verify=True)
        with psycopg.connect(source.url()) as connection:
            address = f"host={connection.info.host} port={connection.info.port} user=postgres"
        with (node.data / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"primary_conninfo = '{address}'\n")
        for place in (node.data / "standby.signal", node.data):
            place.touch()
            node.give(place)
        node.start({name: source.execute(f"show {name}") for name in _AT_LEAST_THE_PRIMARYS})
        # A standby has no rows of unlogged tables.
        dump, of_standby = create_dump(node.url(), tmp_path / "of-standby")
        contents = read_contents_file(dump, of_standby, None)
        assert [(table.name, table.rows) for table in contents.tables or ()] == [("public.notes", 5)]
        with pytest.raises(BackupError, match="the server is a standby"):
            restore_dump(node.url("other"), dump, of_standby)
        node.promote()
        assert restore_dump(node.url("other"), dump, of_standby, verify=True).differences == []
        assert node.execute("select sum(n) from notes") == [(15,)]
        with pytest.raises(BackupError, match="is a physical backup: it is of a whole server"):
            restore_dump(node.url("other"), folder, manifest, keys=KEYS)


@pytest.mark.skipif(not OLD.is_dir(), reason="PostgreSQL 15 of Debian is not installed")
def test_an_older_server_is_dumped_and_no_newer_dump_goes_into_it(
    short_folder: Path,
    tmp_path: Path,
    new_url: str,
    stock_backup: tuple[Path, object],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    binaries = Binaries(OLD)
    identity = choose_identity(short_folder, short_folder / "data", binaries.path("postgres"))
    identity.give(short_folder)
    node = Node(short_folder, identity, binaries)
    node.run("initdb", "-D", node.data, "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=LATIN1")
    node.start()
    try:
        node.execute("create table notes as select u&'Z\\00fcrich' as city, 0.1::float8 as part")
        folder, manifest = create_dump(node.url(), tmp_path / "backups", jobs=2)
        assert (manifest.kind, manifest.server_major, manifest.program_major) == ("directory", 15, 15)
        with pytest.raises(BackupError, match="an encrypted backup is one stream"):
            create_dump(node.url(), tmp_path / "backups", jobs=2, keys=KEYS)
        assert restore_dump(new_url, folder, manifest, jobs=2, verify=True).differences == []
        assert values(new_url, "select convert_to(city, 'UTF8') from notes") == [("Zürich".encode(),)]
        assert main(["db", "restore", str(stock_backup[0]), "--to", node.url("other")]) == 2
        assert "expected a server of version 18 or newer, got 15." in capfd.readouterr().err
        # Only a newer pg_dump is there.
        monkeypatch.setattr(server_programs, "_FOLDERS", ())
        monkeypatch.setenv("PATH", "")
        assert main(["db", "backup", "--to", str(tmp_path / "newer"), "--database", node.url()]) == 0
        assert "warning: it was written by pg_dump 18" in capfd.readouterr().err
        assert main(["db", "restore", str(tmp_path / "newer"), "--to", node.url("other")]) == 2
        assert "expected a server of version 17 or newer, got 15." in capfd.readouterr().err
        assert node.execute("select count(*) from pg_database") == [(3,)]
    finally:
        node.stop(immediately=True)
