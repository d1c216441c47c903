"""The properties of a server that was just started."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import asyncpg
import psycopg
import pytest

from plainsql import embedded
from plainsql.errors import EmbeddedServerError, SettingsError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_projects_server_is_next_to_the_nearest_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "src" / "deep").mkdir(parents=True)
    assert embedded.project_folder(tmp_path / "src" / "deep") == tmp_path / ".plainsql" / "server"


def test_without_a_pyproject_the_server_is_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert embedded.project_folder() == tmp_path / ".plainsql" / "server"


def test_a_first_start_makes_a_private_cluster_that_git_ignores(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    with embedded.start(embedded.project_folder(tmp_path)) as server:
        assert server.version.startswith("18.")
        assert mode(server.folder / "data") == 0o700
        assert mode(server.socket.parent) == 0o700
        assert mode(server.folder / "password") == 0o600
        assert server.password not in repr(server)
        assert server.password not in (server.folder / "state.json").read_text()
    assert (tmp_path / ".plainsql" / ".gitignore").read_text() == "*\n"


def test_a_server_keeps_its_data_and_is_durable(folder: Path) -> None:
    with embedded.start(folder) as server:
        server.create_database("shop")
        server.execute("create table kept as select 42 as n", "shop")
        assert server.execute("show fsync") == "on"
        assert server.execute("show data_checksums") == "on"
    assert server.pid is None
    with embedded.start(folder) as server:
        assert server.execute("select n from kept", "shop") == "42"


def test_a_scratch_server_trades_durability_for_speed_and_leaves_nothing() -> None:
    with embedded.start(scratch=True) as server:
        assert server.execute("show fsync; show synchronous_commit; show full_page_writes") == "off\noff\noff"
        # A replica of it would get a commit 0.6 s later.
        assert server.execute("show wal_writer_delay") == "10ms"
        assert server.folder.exists()
    assert not server.folder.exists()


def test_the_server_has_pgvector_utf8_and_room_for_connections(server: embedded.EmbeddedServer) -> None:
    assert server.execute("select name from pg_available_extensions where name = 'vector'") == "vector"
    assert int(server.execute("show max_connections")) >= 100
    assert server.execute("show server_encoding; show timezone") == "UTF8\nUTC"


def test_the_environments_own_server_settings_do_not_interfere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {
        "PGHOST": "elsewhere",
        "PGDATABASE": "x",
        "PGDATA": "/x",
        "PGOPTIONS": "-c x=y",
        "PGPORT": "1",
    }
    for name, value in elsewhere.items():
        monkeypatch.setenv(name, value)
    with embedded.start(folder) as server:
        assert server.execute("select current_database()") == "postgres"


@pytest.mark.parametrize("name", ["plain", "two words", "ü %2F", "q\"uote's", "a/b?c&d=e#f@g"])
async def test_a_url_means_the_same_to_both_drivers(server: embedded.EmbeddedServer, name: str) -> None:
    url = server.create_database(name)
    try:
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("select current_database()") == name
        await connection.close()
        with psycopg.connect(url) as sync:
            assert sync.execute("select current_database(), current_user").fetchone() == (name, "postgres")
    finally:
        server.drop_database(name)


@pytest.mark.parametrize("name", ["two words", "$HOME`id`", "quote\"s'", "a,b", "ünï", "d" * 120])
def test_a_folder_may_have_any_name(prepared: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(tmp_path)  # what a shell would make of the name would not be this
    folder = tmp_path / f"{name}-" / "server"
    shutil.copytree(prepared, folder)
    with embedded.start(folder) as server, psycopg.connect(server.url()) as connection:
        assert connection.execute("show data_directory").fetchone() == (str(folder / "data"),)
        assert len(str(server.socket).encode()) < 104
        assert mode(server.socket.parent) == 0o700
    assert not server.socket.parent.exists()


def test_a_socket_folder_of_another_user_is_not_used(prepared: Path, tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120)
    shutil.copytree(prepared, folder)
    with embedded.start(folder) as server:
        url, taken = server.url(), server.socket.parent
    with embedded.start(folder) as server:
        assert server.url() == url
    taken.mkdir(mode=0o777)
    taken.chmod(0o777)
    with embedded.start(folder) as server:
        assert server.socket.parent != taken
        assert mode(server.socket.parent) == 0o700
        assert server.execute("select 1") == "1"
    assert list(taken.iterdir()) == []
    taken.rmdir()


def test_without_tcp_no_port_is_open(folder: Path) -> None:
    with embedded.start(folder) as server:
        assert server.execute("show listen_addresses") == ""
        assert server.port is None
        with pytest.raises(SettingsError, match="listens on its Unix socket only"):
            server.url(tcp=True)


async def test_tcp_requires_the_password_and_the_private_socket_does_not(folder: Path) -> None:
    with embedded.start(folder, tcp=True) as server:
        connection = await asyncpg.connect(server.url(tcp=True))
        await connection.close()
        psycopg.connect(server.url(tcp=True)).close()
        psycopg.connect(server.url()).close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.url(tcp=True, password="wrong"))
        assert server.password not in server.url()


async def test_scram_requires_the_password_on_the_socket_too(folder: Path) -> None:
    with embedded.start(folder, auth="scram") as server:
        psycopg.connect(server.url()).close()
        server.execute("create role reader login password 'secret'")
        psycopg.connect(server.url(user="reader", password="secret")).close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.url(password="wrong"))
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(server.url(user="reader"))


def test_libraries_are_preloaded_and_settings_are_set(folder: Path) -> None:
    asked = {"work_mem": "7MB", "log_line_prefix": "$c 'd' \"e\""}
    with embedded.start(folder, preload=["pg_stat_statements", "auto_explain"], settings=asked) as server:
        server.execute("create extension pg_stat_statements")
        assert int(server.execute("select count(*) from pg_stat_statements")) >= 0
        assert server.execute("show work_mem; show log_line_prefix") == "7MB\n$c 'd' \"e\""


def test_a_library_that_does_not_exist_is_named(folder: Path) -> None:
    with pytest.raises(EmbeddedServerError) as caught:
        embedded.start(folder, preload=["pg_stat_statement"])
    assert str(caught.value) == (
        f"{folder}: the server has no library 'pg_stat_statement' to load at its start\n"
        "HINT: pass preload= a library of PostgreSQL's own, such as pg_stat_statements or auto_explain"
    )


def test_a_server_with_other_options_is_not_joined(folder: Path) -> None:
    with embedded.start(folder, settings={"work_mem": "7MB"}):
        embedded.start(folder).stop()
        with pytest.raises(EmbeddedServerError) as caught:
            embedded.start(
                folder, auth="scram", tcp=True, preload=["auto_explain"], settings={"work_mem": "8MB"}
            )
    assert str(caught.value) == (
        f"the server in {folder} runs already, with other options: "
        "auth='scram' (it runs with auth='trust'); "
        "tcp=True (it listens on its Unix socket only); "
        "preload=['auto_explain'] (it has not loaded them); "
        "the setting work_mem=8MB (it was started without it)\n"
        "HINT: start it with the same options, or stop it first (plainsql.embedded.stop)"
    )


def test_databases_are_made_from_templates_and_dropped_with_their_sessions(
    server: embedded.EmbeddedServer,
) -> None:
    with psycopg.connect(server.create_database("mould"), autocommit=True) as connection:
        connection.execute("create table shape (n int)")
        server.disconnect("mould")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    server.create_database("cast", "mould")
    assert server.execute("select count(*) from shape", "cast") == "0"
    with pytest.raises(EmbeddedServerError, match='database "cast" already exists'):
        server.create_database("cast")
    with psycopg.connect(server.url("cast")):
        server.drop_database("cast")
    server.drop_database("mould")
    server.drop_database("mould")


def test_the_programs_and_the_log_are_at_hand(server: embedded.EmbeddedServer) -> None:
    assert server.bin("pg_dump").is_file()
    with pytest.raises(EmbeddedServerError, match="no program 'pg_dumb'"):
        server.bin("pg_dumb")
    with pytest.raises(EmbeddedServerError, match='relation "nowhere"'):
        server.execute("select from nowhere")
    assert 'relation "nowhere" does not exist' in server.log_tail()


def test_a_kept_server_stays_until_it_is_stopped(folder: Path) -> None:
    server = embedded.start(folder, keep=True)
    server.stop()
    found = embedded.status(folder)
    assert (found.running, found.keep, found.users, found.version) == (True, True, (), server.version)
    assert found.url == server.url()
    embedded.start(folder).stop()
    assert embedded.status(folder).running, "one who joins without keep does not take it back"
    assert embedded.stop(folder)
    assert embedded.status(folder) == embedded.Status(folder=folder, running=False)
    assert not embedded.stop(folder)


def test_a_scratch_server_is_not_kept() -> None:
    with pytest.raises(SettingsError, match="a scratch server cannot be kept"):
        embedded.start(scratch=True, keep=True)


def test_the_status_creates_nothing(tmp_path: Path) -> None:
    assert not embedded.status(tmp_path / "none").running
    assert not embedded.stop(tmp_path / "none")
    assert not (tmp_path / "none").exists()
