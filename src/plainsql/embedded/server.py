"""A running server, as the process that uses it sees it."""

from __future__ import annotations

import atexit
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from plainsql.embedded import postmaster
from plainsql.embedded.binaries import Binaries
from plainsql.embedded.cluster import SUPERUSER
from plainsql.embedded.lifecycle import shut_down
from plainsql.embedded.psql import run_psql
from plainsql.embedded.registry import User, forget_dead_users, is_held, lifecycle_lock, live_users
from plainsql.embedded.server_folder import ServerFolder
from plainsql.embedded.state import State, connection_url, read_state
from plainsql.errors import SettingsError
from plainsql.files import read_file
from plainsql.options import check

__all__ = ["EmbeddedServer"]


class EmbeddedServer:
    """A running server that this process uses until ``stop``; a context manager. ``start`` returns it."""

    def __init__(self, folder: ServerFolder, state: State, user: User, binaries: Binaries) -> None:
        self._folder = folder
        self._state = state
        self._user: User | None = user
        self._binaries = binaries
        self._process = os.getpid()
        self._password = read_file(folder.password).decode()
        # A program that ends without stop() leaves the server as well; one that is killed does not.
        atexit.register(self.stop)

    def __repr__(self) -> str:
        return f"<EmbeddedServer {self.version} {self.folder}>"

    @property
    def folder(self) -> Path:
        """The server's folder; the data directory is ``data`` in it."""
        return self._folder.path

    @property
    def version(self) -> str:
        """The server's version, such as ``18.6``."""
        return self._state.version

    @property
    def pid(self) -> int | None:
        """The postmaster's process id; None if it is not running any more."""
        return postmaster.pid_of(self._folder) if is_held(self._folder.alive) else None

    @property
    def socket(self) -> Path:
        """The Unix socket that the server listens on."""
        return Path(self._state.socket_folder) / f".s.PGSQL.{self._state.port}"

    @property
    def port(self) -> int | None:
        """The TCP port on 127.0.0.1; None without ``tcp=True``."""
        return self._state.port if self._state.tcp else None

    @property
    def password(self) -> str:
        """The superuser's password: random, made with the data directory."""
        return self._password

    def url(
        self,
        database: str = "postgres",
        user: str = SUPERUSER,
        *,
        password: str | None = None,
        tcp: bool = False,
    ) -> str:
        """Return a connection URL that asyncpg, psycopg and PostgreSQL's programs accept.

        Args:
            database: the database's name.
            user: a role; the superuser by default.
            password: the role's. If the server requires one, the superuser's is added, so such a URL is a
                secret.
            tcp: connect through 127.0.0.1 and not through the Unix socket.

        Raises ``SettingsError`` if the server was started without ``tcp=True``.
        """
        check("url", database=database, user=user, password=password, tcp=tcp)
        if tcp and not self._state.tcp:
            raise SettingsError("the server listens on its Unix socket only", hint="start it with tcp=True")
        if password is None and user == SUPERUSER and (tcp or self._state.auth == "scram"):
            password = self._password
        return connection_url(self._state, database, user, password, tcp=tcp)

    def bin(self, name: str) -> Path:
        """Return the path of one of PostgreSQL's programs: ``psql``, ``pg_dump``, ``pgbench``, …"""
        return self._binaries.path(name)

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the server's log."""
        check("log_tail", lines=lines)
        return postmaster.log_tail(self._folder, lines)

    def execute(self, sql: str, database: str = "postgres", **variables: str) -> str:
        """Run SQL as the superuser through ``psql`` and return its output: columns separated by ``|``.

        In the SQL, ``:'name'`` is a variable as a string and ``:"name"`` as an identifier.

        Raises ``EmbeddedServerError`` if the server refuses it.
        """
        # Without the password: the URL is on psql's command line.
        url = connection_url(self._state, database, SUPERUSER)
        password = self._password if self._state.auth == "scram" else None
        return run_psql(self._binaries, url, sql, variables, password)

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database, empty or as a copy of ``template``, and return its URL.

        Raises ``EmbeddedServerError`` if the database exists, or if the template is missing or in use.
        """
        self.execute(
            'create database :"name" template :"template"', name=name, template=template or "template1"
        )
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database with all its sessions, if it exists."""
        self.execute('drop database if exists :"name" with (force)', name=name)

    def disconnect(self, database: str) -> None:
        """End all sessions of a database and wait until they are gone: a template may have none."""
        self.execute(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = :'name'",
            name=database,
        )

    def stop(self) -> None:
        """Leave the server; the last user stops it, unless it is kept. A second call does nothing.

        Raises ``EmbeddedServerError`` if the server does not stop.
        """
        user = self._user
        if user is None or os.getpid() != self._process:
            return  # a forked child must not leave for its parent
        self._user = None
        atexit.unregister(self.stop)
        with lifecycle_lock(self._folder):
            user.leave()
            forget_dead_users(self._folder)
            state = read_state(self._folder)
            if not live_users(self._folder) and not (state and state.keep):
                shut_down(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
