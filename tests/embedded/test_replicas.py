"""Replicas: hot standbys that stream, pause, are promoted, killed and copied again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest

from plainsql import embedded
from plainsql.embedded.binaries import find_binaries
from plainsql.embedded.privileges import choose_identity
from plainsql.embedded.server_folder import ServerFolder
from plainsql.embedded.standby import Primary, prepare_standby
from plainsql.errors import ConnectError, EmbeddedServerError, SettingsError

Server = embedded.EmbeddedServer
NOT_DURABLE = {"fsync": "off"}


@pytest.fixture(scope="module")
def primary() -> Generator[Server]:
    with embedded.start(scratch=True, tcp=True) as server:
        server.execute("create table notes (n integer)")
        yield server


@pytest.fixture(scope="module")
def replica(primary: Server) -> Generator[Server]:
    with embedded.start(replica_of=primary) as server:
        yield server


def slots(primary: Server) -> list[str]:
    return primary.execute("select slot_name from pg_replication_slots").split()


def add_note(primary: Server, n: int) -> None:
    primary.execute(f"insert into notes values ({n})")


def has_note(replica: Server, n: int) -> bool:
    return replica.execute(f"select count(*) from notes where n = {n}") == "1"


def test_a_replica_shows_what_its_primary_writes_and_refuses_writes(primary: Server, replica: Server) -> None:
    add_note(primary, 1)
    replica.wait_for_replay()
    assert has_note(replica, 1)
    assert (replica.is_replica, primary.is_replica) == (True, False)
    assert embedded.status(replica.folder).replica_of == primary.url()
    assert embedded.status(replica.folder).scratch
    with pytest.raises(EmbeddedServerError, match="read-only transaction"):
        add_note(replica, 2)


def test_a_paused_replica_shows_nothing_new_until_it_goes_on(primary: Server, replica: Server) -> None:
    replica.pause_replay()
    add_note(primary, 3)
    written = primary.execute("select pg_current_wal_insert_lsn()")
    with pytest.raises(EmbeddedServerError, match=f"has not replayed {written} after 0.05 s"):
        replica.wait_for_replay(written, timeout=0.05)
    assert not has_note(replica, 3)
    replica.resume_replay()
    replica.wait_for_replay()
    assert has_note(replica, 3)


def test_a_restarted_replica_and_primary_have_the_same_address(primary: Server, replica: Server) -> None:
    with psycopg.connect(replica.url()) as connection:
        replica.restart()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    primary.restart()
    add_note(primary, 4)
    replica.wait_for_replay()
    assert has_note(replica, 4)


def test_a_killed_server_starts_again_at_the_same_address(primary: Server, replica: Server) -> None:
    url = replica.url()
    replica.kill()
    with pytest.raises(EmbeddedServerError, match=r"does not run\nHINT: start it again: restart\(\)"):
        replica.kill()
    primary.kill()
    primary.restart()
    add_note(primary, 10)
    replica.restart()
    replica.wait_for_replay()
    assert (has_note(replica, 10), replica.url()) == (True, url)


def test_a_promoted_replica_takes_writes_and_leaves_its_primary(primary: Server) -> None:
    before = set(slots(primary))
    with embedded.start(replica_of=primary) as promoted, psycopg.connect(promoted.url()) as connection:
        (slot,) = set(slots(primary)) - before
        promoted.promote()
        connection.execute("insert into notes values (5)")  # its connections stay
        connection.commit()
        assert not promoted.is_replica
        assert embedded.status(promoted.folder).replica_of is None
        assert slot not in slots(primary)
        with pytest.raises(EmbeddedServerError) as caught:
            promoted.promote()
        assert str(caught.value) == (
            f"the server in {promoted.folder} is no replica, and cannot be promoted\n"
            "HINT: start a replica: plainsql.embedded.start(replica_of=…)"
        )
        with pytest.raises(EmbeddedServerError, match="is no replica, and cannot be waited for"):
            promoted.wait_for_replay()
    assert not has_note(primary, 5)


def test_a_replica_with_a_folder_goes_on_or_is_copied_again(
    primary: Server, replica: Server, tmp_path: Path
) -> None:
    folder, marker = tmp_path / "r", tmp_path / "r" / "data" / "marker"

    def start() -> Server:
        return embedded.start(folder, replica_of=primary, settings=NOT_DURABLE)

    before = slots(primary)
    first = start()
    marker.touch()
    add_note(primary, 6)
    first.wait_for_replay()
    assert first.pid
    os.kill(first.pid, signal.SIGKILL)
    add_note(primary, 7)
    second = start()
    first.stop()
    second.wait_for_replay()
    assert (marker.exists(), has_note(second, 7)) == (True, True)
    second.stop()
    assert slots(primary) == before, "a replica that is stopped keeps nothing on its primary"
    for _ in range(3):
        primary.execute("select pg_switch_wal()")
        replica.wait_for_replay()  # its slot keeps the log as well
        primary.execute("checkpoint")
    add_note(primary, 8)
    third = start()
    third.wait_for_replay()
    assert (marker.exists(), has_note(third, 8)) == (False, True), "what it missed is gone: a new copy"
    third.stop()
    with pytest.raises(EmbeddedServerError, match="are a replica's, and no primary is given"):
        embedded.start(folder)


def test_a_replica_is_late_by_its_delay(primary: Server, replica: Server) -> None:
    replica.execute("alter system set recovery_min_apply_delay = '1h'")
    replica.execute("select pg_reload_conf()")
    add_note(primary, 9)
    with pytest.raises(EmbeddedServerError, match="has not replayed"):
        replica.wait_for_replay(timeout=0.05)
    replica.execute("alter system reset recovery_min_apply_delay")
    replica.execute("select pg_reload_conf()")
    replica.wait_for_replay()
    assert has_note(replica, 9)


def test_the_password_of_the_primary_is_in_a_private_file_alone(primary: Server, tmp_path: Path) -> None:
    url = primary.url(tcp=True)
    assert primary.password in url
    with embedded.start(tmp_path / "r", replica_of=url, settings=NOT_DURABLE) as server:
        assert server.password == primary.password
        file = tmp_path / "r" / "primary_password"
        assert primary.password in file.read_text()
        assert file.stat().st_mode & 0o777 == 0o600
        shown = [
            (tmp_path / "r" / "state.json").read_text(),
            (tmp_path / "r" / "data" / "postmaster.opts").read_text(),
            server.execute("show primary_conninfo"),
            server.log_tail(1000),
            str(embedded.status(tmp_path / "r")),
        ]
        assert not [text for text in shown if primary.password in text]
        assert str(primary.port) in shown[0]


def test_a_second_start_joins_a_replica_of_the_same_primary_only(primary: Server, replica: Server) -> None:
    with embedded.start(replica.folder, scratch=True, replica_of=primary) as joined:
        assert joined.pid == replica.pid
    with pytest.raises(EmbeddedServerError, match=r"replica_of=.* \(it is a replica of "):
        embedded.start(replica.folder, scratch=True, replica_of=replica)
    with pytest.raises(EmbeddedServerError, match=r"replica_of=.* \(it is no replica\)"):
        embedded.start(primary.folder, scratch=True, replica_of=replica)


def test_a_primary_that_cannot_be_copied_is_named(primary: Server, tmp_path: Path, prepared: Path) -> None:
    folder = tmp_path / "r"
    with pytest.raises(EmbeddedServerError, match=r"(?s)the primary .*nowhere.* refuses a replica.*HINT"):
        embedded.start(folder, replica_of="postgresql://u:secret@/x?host=/nowhere")
    with pytest.raises(ConnectError, match="the database URL"):
        embedded.start(folder, replica_of="mysql://x")
    with pytest.raises(SettingsError, match="replica_of"):
        embedded.start(folder, replica_of=b"x")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="give the replica a folder"):
        embedded.start(replica_of=primary, keep=True)
    role = f"u{os.urandom(4).hex()}"
    primary.execute(f"create role {role} login")
    with pytest.raises(EmbeddedServerError, match=f"the role '{role}' is no superuser"):
        embedded.start(folder, replica_of=primary.url(user=role))
    primary.execute(f"drop role {role}")
    with pytest.raises(EmbeddedServerError, match="are a server's own, not a replica's"):
        embedded.start(prepared, replica_of=primary)
    assert not (folder / "data").exists()


def test_a_primary_of_another_version_is_refused(primary: Server, tmp_path: Path) -> None:
    place, binaries = ServerFolder(tmp_path / "r"), find_binaries()
    place.make()
    identity = choose_identity(place.path, place.data, binaries.path("postgres"))
    with pytest.raises(EmbeddedServerError, match=r"needs PostgreSQL 18: that is 18\.\d+.* is PostgreSQL 17"):
        prepare_standby(place, Primary.of(primary.url(), password="x"), identity, binaries, "17.2")


def test_an_interrupted_copy_leaves_nothing(primary: Server, tmp_path: Path) -> None:
    before = slots(primary)
    stopped = int(primary.execute("select pid from pg_stat_activity where backend_type = 'checkpointer'"))
    program = f"""
from plainsql import embedded
embedded.start({str(tmp_path / "r")!r}, replica_of={primary.url()!r})
"""
    os.kill(stopped, signal.SIGSTOP)  # the copy waits for its checkpoint
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        begun = "select count(*) from pg_stat_progress_basebackup where phase like '%checkpoint%'"
        while primary.execute(begun) == "0":
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert "KeyboardInterrupt" in process.communicate()[1]
    assert slots(primary) == before
    assert not {"data", "data.new", "state.json"} & {path.name for path in (tmp_path / "r").iterdir()}
