"""Folders that an attacker prepared: a cloned repository, a shared temporary folder, another's checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from plainsql import embedded
from plainsql.cli.app import main
from plainsql.embedded.server_folder import scratch_root
from plainsql.errors import EmbeddedServerError, FileError

Plainsql = Callable[..., tuple[int, str, str]]

NAMES = ["password", "lock", "alive", "state.json", "pg_hba.conf", "server.log", "scratch"]


@pytest.fixture
def plainsql(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command in the project; return its exit code and what it wrote to both outputs."""
    monkeypatch.chdir(project)
    for name in [name for name in os.environ if name.startswith(("DATABASE_", "DB_"))]:
        monkeypatch.delenv(name)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project, whose ``.plainsql/server`` looks like a server's folder without data."""
    project = tmp_path / "project"
    (project / "sql").mkdir(parents=True)
    (project / "pyproject.toml").write_text('[tool.plainsql]\nsql = "sql"\n')
    (project / "sql" / "one.sql").write_text("-- One.\n-- returns: value\nselect 1 as n;\n")
    server = project / ".plainsql" / "server"
    (server / "users").mkdir(parents=True)
    (server / "users" / ".keep").touch()
    for name in ("lock", "alive"):
        (server / name).touch()
    return project


@pytest.mark.parametrize("dangling", [False, True])
@pytest.mark.parametrize("name", [*NAMES, "state.new", "server.log.1", "data.new"])
def test_a_link_in_a_repository_overwrites_nothing(
    project: Path, plainsql: Plainsql, tmp_path: Path, name: str, dangling: bool
) -> None:
    target = tmp_path / "authorized_keys"
    if not dangling:
        target.write_text("ssh-ed25519 mine")
    link = project / ".plainsql" / "server" / name
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    assert plainsql("check") == (
        2,
        "",
        (
            f"{link.parent} cannot be used for a server: {link} is a symbolic link, and a server makes none\n"
            f"HINT: remove {link}\n"
        ),
    )
    assert target.exists() != dangling
    assert dangling or target.read_text() == "ssh-ed25519 mine"


@pytest.mark.parametrize("name", ["users", "data", "run", "data.new"])
def test_a_link_to_a_folder_empties_nothing(
    project: Path, plainsql: Plainsql, tmp_path: Path, name: str
) -> None:
    theirs = tmp_path / ".ssh"
    theirs.mkdir()
    (theirs / "id_ed25519.pub").write_text("mine")
    link = project / ".plainsql" / "server" / name
    shutil.rmtree(link, ignore_errors=True)
    link.symlink_to(theirs)
    assert "is a symbolic link" in plainsql("check")[2]
    assert [each.name for each in theirs.iterdir()] == ["id_ed25519.pub"]


@pytest.mark.parametrize("name", [".plainsql", ".plainsql/server"])
def test_a_link_in_the_place_of_the_folder_is_refused(
    project: Path, plainsql: Plainsql, tmp_path: Path, name: str
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    shutil.rmtree(project / name)
    (project / name).symlink_to(theirs)
    code, _, said = plainsql("check")
    assert code == 2
    assert f"{project / name} is a symbolic link, and is not followed" in said
    assert list(theirs.iterdir()) == []


def test_the_gitignore_is_not_written_through_a_link(
    project: Path, plainsql: Plainsql, tmp_path: Path
) -> None:
    (project / ".plainsql" / ".gitignore").symlink_to(tmp_path / "made")
    assert plainsql("check")[0] == 1
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["review.msgpack", "review.part"])
def test_the_analysis_cache_is_not_written_through_a_link(
    project: Path, plainsql: Plainsql, tmp_path: Path, name: str
) -> None:
    (tmp_path / "target").write_text("mine")
    (project / ".plainsql" / name).symlink_to(tmp_path / "target")
    assert plainsql("check")[0] == 1
    assert (tmp_path / "target").read_text() == "mine"
    assert (project / ".plainsql" / "review.msgpack").is_file()


def test_a_project_without_links_is_checked(plainsql: Plainsql) -> None:
    code, said, _ = plainsql("check")
    assert code == 1
    assert "this module is missing" in said


@pytest.mark.parametrize("name", ["", "users", "data"])
def test_a_folder_that_other_users_can_write_to_is_refused(folder: Path, name: str) -> None:
    (folder / name).chmod(0o777)
    with pytest.raises(EmbeddedServerError, match=r"can be written to by other users \(its mode is 0777\)"):
        embedded.start(folder)
    (folder / name).chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make another user's folder")
def test_another_users_folder_is_refused(tmp_path: Path) -> None:
    # tmp_path is root's alone: this process is in its own user namespace, in which it is not root.
    folder = tmp_path / "server"
    folder.mkdir(mode=0o755)
    os.chown(folder, 65534, 65534)
    program = (
        "import os, sys; from plainsql import embedded\n"
        "os.geteuid = lambda: 12345\n"
        "embedded.start(sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=False
    )
    assert f"EmbeddedServerError: {folder} cannot be used for a server: {folder} belongs to another user" in (
        done.stderr
    )
    assert list(folder.iterdir()) == []


def test_a_scratch_folder_that_is_taken_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (tmp_path / "tmp" / f"plainsql-{os.geteuid()}").symlink_to(theirs)
    assert scratch_root() == tmp_path / "home" / ".cache" / "plainsql-scratch"
    assert scratch_root() == scratch_root(), "all processes of this user find the same one"
    (tmp_path / "home" / ".cache" / "plainsql-scratch").chmod(0o777)
    with pytest.raises(EmbeddedServerError, match="is a symbolic link") as caught:
        scratch_root()
    assert caught.value.hint == "set TMPDIR to a folder of your own"
    assert list(theirs.iterdir()) == []


def test_a_lock_that_is_a_pipe_is_not_waited_for(project: Path, plainsql: Plainsql) -> None:
    lock = project / ".plainsql" / "server" / "lock"
    lock.unlink()
    os.mkfifo(lock)
    assert f"{lock} is not a regular file" in plainsql("check")[2]


# A checkout that this process alone sees as read-only.
READ_ONLY = """
set -e
{ mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"; } 2>/dev/null || exit 77
cd "$1"
shift
exec "$@"
"""


@pytest.fixture
def read_only(project: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run plainsql in the project while nothing can be written there."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        root = [] if os.geteuid() == 0 else ["--map-root-user"]
        command = ["unshare", *root, "--mount", "sh", "-c", READ_ONLY, "sh", str(project)]
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "DB_"))
        }
        done = subprocess.run(
            [*command, sys.executable, "-m", "plainsql", *arguments],
            env=kept,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 77 or "unshare:" in done.stderr:
            pytest.skip("no file system can be mounted here")
        return done

    if not shutil.which("unshare"):
        pytest.skip("needs mount namespaces")
    return run


@pytest.mark.parametrize("is_new", [False, True])
def test_a_read_only_checkout_is_checked_on_a_scratch_server(
    project: Path,
    plainsql: Plainsql,
    read_only: Callable[..., subprocess.CompletedProcess[str]],
    is_new: bool,
) -> None:
    assert plainsql("generate")[0] == 0
    if is_new:
        shutil.rmtree(project / ".plainsql")
    before = sorted(project.rglob("*"))
    done = read_only("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("clean: 1 query")
    assert read_only("generate", "--check").returncode == 0
    (project / "sql" / "two.sql").write_text("-- Two.\n-- returns: value\nselect nothing as n;\n")
    done = read_only("check", "--format", "github")
    assert done.returncode == 1
    assert done.stdout.startswith("::error file=sql/two.sql,line=3")
    assert len(done.stdout.splitlines()) == 1
    (project / "sql" / "two.sql").unlink()
    assert sorted(project.rglob("*")) == before


def test_data_to_keep_are_not_put_on_a_scratch_server(
    project: Path, read_only: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    shutil.rmtree(project / ".plainsql")
    done = read_only("migrate")
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        (
            f"{project}/.plainsql/server cannot be used for a server: Read-only file system\n"
            "HINT: make the project's folder writable, or set DATABASE_URL to a server of your own\n"
        ),
    )


def test_a_links_refusal_is_not_taken_for_a_read_only_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    (project / ".plainsql" / "server" / "password").symlink_to("/etc/hostname")
    with pytest.raises(EmbeddedServerError) as caught:
        embedded.start_or_scratch()
    assert isinstance(caught.value.__cause__, FileError)
