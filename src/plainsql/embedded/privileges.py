"""The user that PostgreSQL runs as. It refuses root; no user is created and no folder is opened up for it.

A plain user runs it directly. Root has two ways, tried in this order:

1. a user namespace, in which root's own processes and files appear as those of ``nobody``: no file changes
   its owner;
2. if namespaces are forbidden (some containers and hardened kernels), an existing unprivileged user, which
   becomes the owner of the data and socket folders, and of nothing else.

A data folder that already belongs to an unprivileged user is served as that user: root leaves no files in it
that its owner could not read later.
"""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from plainsql.embedded.binaries import program_environment
from plainsql.errors import EmbeddedServerError

__all__ = ["Identity", "choose_identity"]

logger = logging.getLogger("plainsql.embedded")


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that PostgreSQL's processes run as."""

    description: str
    prefix: tuple[str, ...] = ()
    """The words in front of each command line."""
    uid: int | None = None
    """The user that the processes drop to, which owns the server's folders; None to keep the user."""
    gid: int | None = None

    def run(
        self,
        command: Sequence[str | Path],
        *,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.STDOUT,
        keep_open: tuple[int, ...] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; its output and its errors are in ``stdout``."""
        return subprocess.run(
            [*self.prefix, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
            errors="replace",
            # The caller's working folder may be closed to this user.
            cwd="/",
            env=program_environment(),
            pass_fds=keep_open,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
            check=False,
        )

    def give(self, path: Path) -> None:
        """Make this user the owner of a file, or of a folder with its content, but of nothing above it."""
        if self.uid is None or self.gid is None:
            return
        for each in (path, *path.rglob("*")):
            os.chown(each, self.uid, self.gid, follow_symlinks=False)


def choose_identity(folder: Path, data: Path, postgres: Path, *, scratch: bool = False) -> Identity:
    """Return the first identity that can enter ``folder`` and run ``postgres``.

    Args:
        folder: the server's folder, which exists.
        data: the data folder in it; if it exists, its owner decides.
        postgres: the server's program.
        scratch: the server keeps nothing, so that the owner of its files does not matter.

    Raises ``EmbeddedServerError`` if no identity can.
    """
    reasons: list[str] = []
    for identity in _candidates(folder, data):
        reason = _obstacle(identity, folder, postgres)
        if reason is None:
            if identity.uid is not None:
                # A warning when the data are created, and not again by each command that starts the server.
                level = logging.INFO if scratch or data.exists() else logging.WARNING
                logger.log(
                    level,
                    "PostgreSQL refuses to run as root and user namespaces are not available or not "
                    "wanted here: the server in %s runs as %s",
                    folder,
                    identity.description,
                )
            return identity
        reasons.append(f"{identity.description}: {reason}")
    raise EmbeddedServerError(
        f"PostgreSQL cannot run in {folder} as any user at hand",
        detail="; ".join(reasons),
        hint="give a folder that an unprivileged user can enter, or run as that user",
    )


def _candidates(folder: Path, data: Path) -> Iterator[Identity]:
    me = os.geteuid()
    owner = data.stat().st_uid if data.exists() else None
    if me != 0:
        if owner not in (None, me):
            raise EmbeddedServerError(
                f"{data} belongs to {_name_of(owner)}, not to {_name_of(me)}",
                hint="run as its owner, or give another folder",
            )
        if not _has_name(me):
            # initdb needs the name of its user, and has none under `docker run --user 12345`.
            yield from _namespace()
        yield Identity(f"user {_name_of(me)}")
        return
    if owner:
        yield _dropped(owner, data.stat().st_gid)
        return
    yield from _namespace()
    seen = {0}
    for uid, gid in _unprivileged_users(folder):
        if uid not in seen:
            seen.add(uid)
            yield _dropped(uid, gid)


def _namespace() -> Iterator[Identity]:
    unshare = shutil.which("unshare")
    inside = next((user for user in _unprivileged_entries() if user.pw_uid), None)
    if unshare and inside:
        # One id is mapped: the caller's own, to that of a user whose name initdb finds.
        uid, gid = inside.pw_uid, inside.pw_gid
        prefix = (unshare, "--user", f"--map-user={uid}", f"--map-group={gid}", "--")
        yield Identity("a user namespace (unshare)", prefix=prefix)


def _unprivileged_users(folder: Path) -> Iterator[tuple[int, int]]:
    """Yield the users and groups, those first that are most likely to be able to enter the folder."""
    around = folder.parent.stat()
    yield around.st_uid, around.st_gid
    sudo_uid, sudo_gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if sudo_uid.isdecimal() and sudo_gid.isdecimal():
        yield int(sudo_uid), int(sudo_gid)
    for user in _unprivileged_entries("postgres", "nobody"):
        yield user.pw_uid, user.pw_gid


def _unprivileged_entries(*names: str) -> Iterator[pwd.struct_passwd]:
    for name in names or ("nobody", "postgres"):
        try:
            yield pwd.getpwnam(name)
        except KeyError:
            continue
    if not names:
        yield from pwd.getpwall()


def _obstacle(identity: Identity, folder: Path, postgres: Path) -> str | None:
    try:
        done = identity.run(["/bin/sh", "-c", 'cd "$1" && "$2" --version', "sh", folder, postgres])
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return " ".join(done.stdout.split()) or f"exit status {done.returncode}"


def _dropped(uid: int, gid: int) -> Identity:
    return Identity(f"user {_name_of(uid)}", uid=uid, gid=gid)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _name_of(uid: int | None) -> str:
    if uid is None:
        return "nobody"
    return pwd.getpwuid(uid).pw_name if _has_name(uid) else str(uid)
