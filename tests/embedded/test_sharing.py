"""Several processes share a server, and any of them, or the server itself, may be killed at any time."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from plainsql import embedded
from plainsql.embedded.registry import is_held, lifecycle_lock
from plainsql.embedded.server_folder import ServerFolder
from plainsql.errors import EmbeddedServerError

from .conftest import UserProcess

Use = Callable[..., UserProcess]


def is_running(folder: Path) -> bool:
    return is_held(folder / "alive")


def test_processes_share_one_server_until_the_last_one_leaves(folder: Path, use: Use) -> None:
    first, second = use(folder), use(folder)
    server = first.joined()
    assert second.joined() == server
    assert embedded.status(folder).users == tuple(sorted([first.pid, second.pid]))
    first.leave()
    assert embedded.status(folder).pid == server, "who started it does not own it"
    second.leave()
    assert not is_running(folder)


def test_a_first_start_by_several_processes_makes_one_cluster(tmp_path: Path, use: Use) -> None:
    processes = [use(tmp_path / "new") for _ in range(4)]
    assert len({process.joined() for process in processes}) == 1
    assert [process.leave() for process in processes] == [""] * 4
    assert not is_running(tmp_path / "new")


def test_a_process_may_use_a_server_twice(folder: Path) -> None:
    with embedded.start(folder) as outer:
        with embedded.start(folder) as inner:
            assert inner.pid == outer.pid
            assert embedded.status(folder).users == (os.getpid(), os.getpid())
        inner.stop()
        assert outer.execute("select 1") == "1"
    assert not is_running(folder)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_user_does_not_stop_the_server_of_the_other_users(
    folder: Path, use: Use, how: signal.Signals
) -> None:
    starter, other = use(folder), use(folder)
    server = starter.joined()
    other.joined()
    starter.kill(how)
    assert embedded.status(folder).pid == server
    assert embedded.status(folder).users == (other.pid,)
    other.leave()
    assert not is_running(folder), "the dead one is not waited for"


def test_ctrl_c_ends_the_program_in_order_and_the_server_with_it(folder: Path, use: Use) -> None:
    only = use(folder)
    server = only.joined()
    assert os.getsid(server) != os.getsid(only.pid), "the terminal's signals do not reach the server"
    only.kill(signal.SIGINT)
    assert not is_running(folder)


def test_the_next_user_takes_over_a_server_of_killed_users(folder: Path, use: Use) -> None:
    killed = use(folder)
    server = killed.joined()
    killed.kill()
    assert is_running(folder)
    with embedded.start(folder) as taken_over:
        assert taken_over.pid == server
    assert not is_running(folder)
    assert list((folder / "users").iterdir()) == []


def test_the_next_start_removes_a_scratch_server_of_killed_users(use: Use) -> None:
    orphaned = embedded.scratch_folder(f"orphaned-{os.getpid()}")
    killed, used = use(orphaned, "scratch"), embedded.scratch_folder(f"used-{os.getpid()}")
    with embedded.start(used, scratch=True) as other:
        killed.joined()
        alive = os.open(orphaned / "alive", os.O_RDWR)
        killed.kill()
        assert is_held(Path(f"/dev/fd/{alive}"))
        embedded.start(scratch=True).stop()
        assert not orphaned.exists()
        assert not is_held(Path(f"/dev/fd/{alive}"))
        assert other.execute("select 1") == "1", "one that is in use is left alone"
        os.close(alive)


@pytest.mark.skipif(
    not Path("/proc/locks").exists(), reason="only Linux reports the process that waits for a lock"
)
def test_joining_a_scratch_server_during_its_removal_starts_a_new_one(tmp_path: Path) -> None:
    folder, joined = ServerFolder(tmp_path / "s"), []
    joining = threading.Thread(target=lambda: joined.append(embedded.start(folder.path, scratch=True)))
    with lifecycle_lock(folder):
        waits = re.compile(rf"-> FLOCK .*:{folder.lock.stat().st_ino} ")
        joining.start()
        while not waits.search(Path("/proc/locks").read_text()):
            assert joining.is_alive()
        shutil.rmtree(folder.path)
    joining.join()
    assert joined[0].execute("select 1") == "1"
    joined[0].stop()


def test_a_folder_that_vanishes_during_the_check_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ServerFolder(tmp_path / "s")
    folder.make()
    folder.lock.touch()
    original = Path.iterdir
    looked: list[Path] = []

    def removed_under_us(path: Path) -> object:
        if path == folder.path and not looked:
            looked.append(path)
            shutil.rmtree(path)
        return original(path)

    monkeypatch.setattr(Path, "iterdir", removed_under_us)
    folder.make()
    assert looked
    assert list(original(folder.path)) == []


def test_a_program_that_just_ends_leaves_in_order(folder: Path) -> None:
    program = f"from plainsql import embedded; server = embedded.start({str(folder)!r})"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert not is_running(folder)


def test_a_forked_child_does_not_leave_for_its_parent(folder: Path) -> None:
    program = (
        "import os; from plainsql import embedded\n"
        f"server = embedded.start({str(folder)!r})\n"
        "if not os.fork(): raise SystemExit\n"
        "os.wait(); print(server.execute('select 1'))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "1\n"
    assert not is_running(folder)


@pytest.mark.parametrize("tcp", [False, True])
def test_a_killed_server_starts_again_with_its_data(folder: Path, tcp: bool) -> None:
    first = embedded.start(folder, tcp=tcp)
    first.execute("create table kept as select 42 as n")
    with psycopg.connect(first.url()) as connection:
        assert first.pid
        os.kill(first.pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select pg_sleep(60)")  # its backend ends with the postmaster
    with embedded.start(folder, tcp=tcp) as second:
        assert second.execute("select n from kept") == "42"
        assert first.execute("select n from kept") == "42", "the URL is still the same"
    first.stop()
    assert not is_running(folder)


def test_backends_that_outlive_a_killed_server_are_waited_for(folder: Path) -> None:
    first = embedded.start(folder)
    with psycopg.connect(first.url()) as connection:
        backend = connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)  # it cannot notice
        assert first.pid
        ended = os.pidfd_open(first.pid)
        os.kill(first.pid, signal.SIGKILL)
        select.select([ended], [], [])
        os.close(ended)
        waiting = threading.Timer(0.3, os.kill, [backend, signal.SIGCONT])
        waiting.start()
        with embedded.start(folder) as second:
            assert waiting.finished.is_set()
            assert second.execute("select 1") == "1"
    first.stop()
    assert not is_running(folder)


def test_a_pid_file_of_before_a_reboot_does_not_hinder_the_start(folder: Path) -> None:
    # The id of a living process that is no server of ours: PostgreSQL alone would refuse to start.
    (folder / "data" / "postmaster.pid").write_text(
        f"{os.getppid()}\n{folder}/data\n1\n5432\n\n\n 1 1\nready\n"
    )
    with embedded.start(folder) as server:
        assert server.pid not in (None, os.getppid())


def test_the_leftovers_of_a_killed_start_are_no_cluster(folder: Path) -> None:
    (folder / "data").rename(folder / "data.new")
    (folder / "data.new" / "global" / "pg_control").unlink()
    with embedded.start(folder) as server:
        assert server.execute("select 1") == "1"


def test_a_state_that_was_lost_does_not_hide_a_running_server(folder: Path) -> None:
    with embedded.start(folder) as server:
        state = (folder / "state.json").read_text()
        (folder / "state.json").write_text("{")
        assert not embedded.status(folder).running
        embedded.stop(folder, force=True)
        assert server.pid is None
    (folder / "state.json").write_text(state)  # for clearing away


def test_a_server_in_use_is_stopped_by_force_only(folder: Path) -> None:
    with embedded.start(folder) as server:
        with pytest.raises(EmbeddedServerError) as caught:
            embedded.stop(folder)
        assert str(caught.value) == (
            f"the server in {folder} is in use by process {os.getpid()}\n"
            "HINT: end them first, or stop it with force"
        )
        assert server.execute("select 1") == "1"
        assert embedded.stop(folder, force=True)
        assert server.pid is None
