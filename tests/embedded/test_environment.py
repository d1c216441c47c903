"""The environment of PostgreSQL's programs: a server shows it to its superusers and in /proc."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plainsql import embedded
from plainsql.embedded.binaries import program_environment
from plainsql.embedded.state import Auth

SECRETS = {
    "PLAINSQL_ENCRYPTION_KEYS": "k1:c2VjcmV0",
    "DB_PASSWORD": "secret-password",
    "DATABASE_URL": "postgresql://app:secret-url@/shop",
    "AWS_SECRET_ACCESS_KEY": "secret-aws",
    "GITHUB_TOKEN": "secret-github",
    "HTTPS_PROXY": "http://user:secret-proxy@proxy",
    "PGPASSWORD": "secret-pg",
    "XDG_SECRET": "secret-xdg",
}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("auth", ["trust", "scram"])
def test_a_superuser_finds_no_secret_in_the_servers_environment(auth: Auth) -> None:
    with embedded.start(scratch=True, auth=auth) as server:
        server.execute("create table e (line text); copy e from program 'env'")
        found = server.execute("select line from e").splitlines()
        names = {line.partition("=")[0] for line in found}
        assert "PATH" in names
        assert not names & SECRETS.keys()
        assert not [line for line in found if "secret" in line]
        assert server.password not in "\n".join(found)


@pytest.mark.usefixtures("secrets")
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_no_process_of_the_server_has_a_secret(tmp_path: Path) -> None:
    with embedded.start(tmp_path / "server") as server:
        assert server.pid
        processes = [server.pid]
        for other in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(other.read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == server.pid:
                processes.append(int(other.parent.name))
        assert len(processes) > 3, "the server has background processes"
        for pid in processes:
            assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.usefixtures("secrets")
def test_variables_that_the_programs_need_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = {
        "PATH": "/bin",
        "HOME": "/root",
        "LANG": "de_DE.UTF-8",
        "LC_TIME": "de_DE.UTF-8",
        "TMPDIR": "/var/tmp",
        "LD_LIBRARY_PATH": "/opt/lib",
    }
    for name, value in needed.items():
        monkeypatch.setenv(name, value)
    environment = program_environment()
    assert environment.items() >= needed.items()
    assert environment["LC_ALL"] == "C"
    assert not environment.keys() & SECRETS.keys()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_every_program_gets_this_environment_and_no_other(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, str]] = []
    original = subprocess.Popen.__init__

    def watched(self: object, *arguments: object, **options: object) -> None:
        environment = options.get("env")
        started.append(dict(environment if isinstance(environment, dict) else os.environ))
        original(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setattr(subprocess.Popen, "__init__", watched)
    with embedded.start(folder) as server:
        server.execute("select 1")
    with embedded.start(tmp_path / "new", auth="scram") as server:
        server.execute("select 1")
    assert len(started) > 5
    assert not [each for each in started if "GITHUB_TOKEN" in each]
