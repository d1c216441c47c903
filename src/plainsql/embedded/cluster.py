"""The data directory: created once, completely or not at all, and refused if its major version differs."""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path

from plainsql.embedded.binaries import Binaries
from plainsql.embedded.privileges import Identity
from plainsql.embedded.server_folder import ServerFolder, is_disk_full
from plainsql.errors import EmbeddedServerError
from plainsql.files import create_file, read_file

__all__ = ["SUPERUSER", "create_cluster", "require_same_major", "server_version"]

SUPERUSER = "postgres"


def server_version(identity: Identity, binaries: Binaries) -> str:
    """Return the version of the programs, such as ``18.6``."""
    output = identity.run([binaries.path("postgres"), "--version"]).stdout
    found = re.search(r"\(PostgreSQL\) (\S+)", output)
    if not found:
        raise EmbeddedServerError(
            f"{binaries.path('postgres')} does not print its version", detail=output.strip()
        )
    return found[1]


def create_cluster(folder: ServerFolder, identity: Identity, binaries: Binaries, *, scratch: bool) -> None:
    """Run initdb. A process that is killed meanwhile leaves nothing that looks like a data directory.

    Texts are UTF-8 and sorted by code point, the same on every machine. The superuser has a random password,
    which only TCP and ``auth="scram"`` require.

    Raises ``EmbeddedServerError`` if initdb fails; the detail is the end of its output.
    """
    new = folder.path / "data.new"
    if new.is_symlink():
        new.unlink()
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    # A file of this name is not the password of the new data directory.
    folder.password.unlink(missing_ok=True)
    with create_file(folder.password, 0o600) as file:
        file.write(secrets.token_urlsafe(24).encode())
    identity.give(folder.password)
    identity.give(new)
    command: list[str | Path] = [
        binaries.path("initdb"),
        "-D",
        new,
        "-U",
        SUPERUSER,
        "--pwfile",
        folder.password,
    ]
    command += ["--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
    if scratch:
        command += ["--no-sync", "--no-data-checksums"]
    done = identity.run(command)
    if done.returncode != 0:
        shutil.rmtree(new, ignore_errors=True)
        full = is_disk_full(done.stdout)
        said = "\n".join(done.stdout.strip().splitlines()[-12:])
        raise EmbeddedServerError(
            f"initdb failed in {folder.path}" + (": the disk is full" if full else ""),
            detail=said or f"exit status {done.returncode}",
            hint="make room, or give a folder on another disk"
            if full
            else "the detail is the end of its output",
        )
    new.rename(folder.data)


def require_same_major(folder: ServerFolder, version: str) -> None:
    """Refuse a data directory that this version cannot read.

    Raises ``EmbeddedServerError`` if another major version created it, or if it is no data directory.
    """
    try:
        found = read_file(folder.data / "PG_VERSION").decode("ascii", "replace").strip()
    except FileNotFoundError:
        raise EmbeddedServerError(
            f"{folder.data} is not a PostgreSQL data directory: PG_VERSION is missing",
            hint=f"restore it from a backup, or remove {folder.path} to begin again",
        ) from None
    major = version.partition(".")[0]
    if found != major:
        raise EmbeddedServerError(
            f"{folder.data} was made by PostgreSQL {found or '(nothing)'}, and this is PostgreSQL {version}",
            hint=f"dump it with PostgreSQL {found} (pg_dumpall), move it away, start again and load the dump",
        )
