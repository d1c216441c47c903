"""The folder of a server: its files, and the checks that it is safe to use.

::

    <folder>/
      lock          held (flock) by the process that starts, joins or stops the server
      users/        one file per user of the server, held (flock) while that user lives
      alive         held (flock) by the server's processes as long as one of them lives
      state.json    how the server was started
      password      the superuser's password, for TCP and ``auth="scram"``
      primary_password  of a replica: the password for its primary, as a password file of libpq
      pg_hba.conf   written at each start
      server.log    this start's log; ``server.log.1`` is the one before
      data/         PostgreSQL's data directory, mode 0700
      run/          the Unix socket, mode 0700, if its path is short enough

The path of a Unix socket may have about 107 bytes (103 on macOS). If the path of ``run/`` is longer, the
socket is in a private folder under the system's temporary folder. ``state.json`` names that folder, and it
is removed with the server.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from plainsql.errors import EmbeddedServerError, FileError
from plainsql.files import check_folder, make_folder, make_ignored_folder

__all__ = [
    "PROJECT_FOLDER",
    "ServerFolder",
    "is_disk_full",
    "project_folder",
    "scratch_folder",
    "scratch_root",
]

PROJECT_FOLDER = ".plainsql"
"""The folder next to ``pyproject.toml`` with the data of a project that are not part of it."""

_SOCKET_PATH_BYTES = 103
_RUN = "plainsql-run-"
_OWN_FILES = frozenset({"lock", "users", "alive"})


def project_folder(start: Path | None = None) -> Path:
    """Return the folder of a project's development server: ``.plainsql/server``.

    It is next to the nearest ``pyproject.toml`` at or above ``start`` (default: the working folder), else in
    ``start`` itself. Nothing is created.
    """
    start = (start or Path.cwd()).absolute()
    project = next((p for p in (start, *start.parents) if (p / "pyproject.toml").is_file()), start)
    return project / PROJECT_FOLDER / "server"


def scratch_root() -> Path:
    """Return the private folder of this user's scratch servers; create it if it is missing.

    The name in the temporary folder is predictable, so another user may have taken it. Then the folder is
    below the home folder.

    Raises ``EmbeddedServerError`` if neither can be used.
    """
    shared = Path(tempfile.gettempdir()) / f"plainsql-{os.geteuid()}"
    try:
        make_folder(shared, _private_mode())
    except OSError as error:
        refusal = error
    else:
        return shared
    with suppress(OSError, RuntimeError):  # no home folder, or it is not writable
        own = Path.home() / ".cache" / "plainsql-scratch"
        own.parent.mkdir(parents=True, exist_ok=True)
        make_folder(own, _private_mode())
        return own
    reason = refusal.message if isinstance(refusal, FileError) else refusal.strerror
    raise EmbeddedServerError(
        f"{shared} cannot be used for scratch servers: {reason}",
        hint="set TMPDIR to a folder of your own",
    )


def scratch_folder(name: str) -> Path:
    """Return the folder of the scratch server called ``name``, for processes that share it."""
    return scratch_root() / name


@dataclass(frozen=True, slots=True)
class ServerFolder:
    """The paths of one server."""

    path: Path
    """An absolute path."""

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def users(self) -> Path:
        return self.path / "users"

    @property
    def alive(self) -> Path:
        return self.path / "alive"

    @property
    def state(self) -> Path:
        return self.path / "state.json"

    @property
    def password(self) -> Path:
        return self.path / "password"

    @property
    def primary_password(self) -> Path:
        return self.path / "primary_password"

    @property
    def access(self) -> Path:
        return self.path / "pg_hba.conf"

    @property
    def log(self) -> Path:
        return self.path / "server.log"

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def run(self) -> Path:
        return self.path / "run"

    def make(self) -> None:
        """Create the private folder, or accept one that only we can change and that is empty or a server's.

        Raises ``EmbeddedServerError`` if it cannot be created or written, if other users can change it, if a
        link is in the place of one of its folders, or if it holds other files.
        """
        with _usable(self.path):
            home = self.path.parent
            if home.name == PROJECT_FOLDER:
                home.parent.mkdir(parents=True, exist_ok=True)
                # Not private: if root runs this, an unprivileged user may have to pass through.
                make_ignored_folder(home)
            else:
                home.mkdir(parents=True, exist_ok=True)
            while not self._made_or_accepted():
                pass  # a scratch folder was removed under us by its last user

    def _made_or_accepted(self) -> bool:
        try:
            self.path.mkdir(_private_mode())
        except FileExistsError:
            try:
                self._accept()
            except FileNotFoundError:
                return False
            return True
        try:
            self.path.chmod(_private_mode())  # whatever the umask says
        except FileNotFoundError:
            return False
        return True

    def _accept(self) -> None:
        entries = {} if self.path.is_symlink() else {entry.name: entry for entry in self.path.iterdir()}
        check_folder(self.path)
        if entries and not entries.keys() & _OWN_FILES:
            raise EmbeddedServerError(
                f"{self.path} is not a server's folder: it holds {', '.join(sorted(entries)[:5])}",
                hint="give a folder that does not exist yet",
            )
        for entry in entries.values():
            if entry.is_symlink():
                # git keeps links: a link in a repository would point us to a file of its author's choice.
                raise FileError(
                    f"{entry} is a symbolic link, and a server makes none", hint=f"remove {entry}"
                )
        for folder in (self.users, self.data, self.run):
            if folder.name in entries:
                check_folder(folder)

    def make_socket_folder(self, port: int) -> Path:
        """Create and return the folder for the Unix socket: ``run/``, or a short one elsewhere."""
        socket = os.fsencode(self.run / f".s.PGSQL.{port}")
        # A comma separates hosts in a connection string, and folders in unix_socket_directories.
        if len(socket) <= _SOCKET_PATH_BYTES and not set(socket) & set(b',"\n'):
            with _usable(self.run):
                make_folder(self.run)
            return self.run
        # The same name each time, so that a URL in a file is valid after a restart.
        name = _RUN + hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        for parent in map(Path, (tempfile.gettempdir(), "/tmp")):
            if len(os.fsencode(parent)) <= _SOCKET_PATH_BYTES - 45 and parent.is_dir():
                with _usable(parent):
                    return _private_folder(parent / name)
        raise EmbeddedServerError(
            f"no folder is short enough for a Unix socket: tried {self.run} and {tempfile.gettempdir()}",
            hint="set TMPDIR to a short path",
        )

    def remove_socket_folder(self, folder: Path) -> None:
        """Remove the socket's folder, if it is one that we create."""
        if folder == self.run or folder.name.startswith(_RUN):
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def usable(self) -> Generator[None]:
        """Raise the operating system's errors as an ``EmbeddedServerError`` that names the folder."""
        with _usable(self.path):
            yield


def is_disk_full(output: str) -> bool:
    """Return True if the output of a PostgreSQL program reports a full disk, in one of its two texts."""
    return "No space left on device" in output or "Check free disk space" in output


def _private_folder(path: Path, mode: int = 0o700) -> Path:
    """Create a folder in a folder that all users can write to; with a random name, if this one is not ours.

    Another user may have taken a predictable name, to read what is written there.
    """
    path.mkdir(mode=mode, exist_ok=True)
    found = path.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & ~mode & 0o777:
        return path
    return Path(tempfile.mkdtemp(prefix=f"{path.name}-", dir=path.parent))


def _private_mode() -> int:
    # Root may have to give data/ and run/ to an unprivileged user, who must pass through but not list it.
    return 0o711 if os.geteuid() == 0 else 0o700


@contextmanager
def _usable(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        hint: str | None = "give a folder that this user can write to, on a disk with room"
        if isinstance(error, FileError):
            reason, hint = error.message, error.hint
        elif isinstance(error, FileExistsError | NotADirectoryError):
            reason = f"{error.filename} is not a folder"
        elif path.parent.name == PROJECT_FOLDER:
            hint = "make the project's folder writable, or set DATABASE_URL to a server of your own"
        raise EmbeddedServerError(f"{path} cannot be used for a server: {reason}", hint=hint) from error
