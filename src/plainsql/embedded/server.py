"""A running server, as the process that uses it sees it."""

from __future__ import annotations

import atexit
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from plainsql.embedded import postmaster
from plainsql.embedded.binaries import Binaries
from plainsql.embedded.lifecycle import restart_server, shut_down
from plainsql.embedded.psql import run_psql
from plainsql.embedded.registry import User, forget_dead_users, is_held, lifecycle_lock, live_users
from plainsql.embedded.server_folder import ServerFolder
from plainsql.embedded.standby import current_position, drop_slot, is_standby
from plainsql.embedded.state import State, connection_url, read_state, write_state
from plainsql.errors import EmbeddedServerError, SettingsError
from plainsql.files import read_file
from plainsql.options import check

__all__ = ["EmbeddedServer"]

_WATCH_S = 0.01
"""Seconds between two looks at a replica, which reports its progress by no event."""
_DONE = "done"


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
    def is_replica(self) -> bool:
        """True for a hot standby; False for a primary, and after a promotion."""
        return is_standby(self._folder)

    @property
    def password(self) -> str:
        """The superuser's password: random, made with the data directory."""
        return self._password

    def url(
        self,
        database: str = "postgres",
        user: str | None = None,
        *,
        password: str | None = None,
        tcp: bool = False,
    ) -> str:
        """Return a connection URL that asyncpg, psycopg and PostgreSQL's programs accept.

        Args:
            database: the database's name.
            user: a role; the superuser by default, ``postgres`` unless it is a replica of another one's
                server.
            password: the role's. If the server requires one, the superuser's is added, so such a URL is a
                secret.
            tcp: connect through 127.0.0.1 and not through the Unix socket.

        Raises ``SettingsError`` if the server was started without ``tcp=True``.
        """
        check("url", database=database, user=user, password=password, tcp=tcp)
        if tcp and not self._state.tcp:
            raise SettingsError("the server listens on its Unix socket only", hint="start it with tcp=True")
        user = user or self._state.superuser
        if (
            password is None
            and user == self._state.superuser
            and self._password
            and (tcp or self._state.auth == "scram")
        ):
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
        url = connection_url(self._state, database, self._state.superuser)
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

    def promote(self, timeout: float = 60.0) -> None:
        """Make a replica a primary of its own, and wait until it is one. Its connections stay.

        Raises ``EmbeddedServerError`` if it is no replica, or is not a primary within ``timeout`` seconds.
        """
        check("promote", timeout=timeout)
        with lifecycle_lock(self._folder):
            self._require_replica("promoted")
            done = self.execute(f"select pg_catalog.pg_promote(true, {max(1, int(timeout))})")
            if done != "t":
                raise EmbeddedServerError(
                    f"the replica in {self.folder} is not a primary after {timeout:g} s",
                    detail=self.log_tail(),
                    hint="see the detail, or give more time: timeout=",
                )
            state = read_state(self._folder)
            if state is not None and state.replication is not None:
                drop_slot(state.replication)
                write_state(self._folder, msgspec.structs.replace(state, replication=None))

    def wait_for_replay(self, lsn: str | None = None, timeout: float = 60.0) -> None:
        """Wait until a replica shows what was written up to a position in the write-ahead log.

        Args:
            lsn: the position, such as ``0/3000148``; by default all that the primary has written by now.
            timeout: the most seconds.

        Raises ``EmbeddedServerError`` if it is no replica, or does not come so far in time.
        """
        check("wait_for_replay", lsn=lsn, timeout=timeout)
        state = read_state(self._folder)
        replication = state.replication if state else None
        if replication is None:
            raise self._refused("waited for")
        if lsn is None:
            lsn = current_position(replication, self._binaries)
        self._until(
            "pg_catalog.pg_last_wal_replay_lsn() >= :'lsn'",
            timeout,
            f"the replica in {self.folder} has not replayed {lsn}",
            lsn=lsn,
        )

    def pause_replay(self, timeout: float = 60.0) -> None:
        """Pause a replica's replay, and wait until it is paused: it receives, and shows nothing new.

        Raises ``EmbeddedServerError`` if it is no replica, or does not pause within ``timeout`` seconds.
        """
        check("pause_replay", timeout=timeout)
        self._require_replica("paused")
        self.execute("select pg_catalog.pg_wal_replay_pause()")
        self._until(
            "pg_catalog.pg_get_wal_replay_pause_state() = 'paused'",
            timeout,
            f"the replica in {self.folder} has not paused",
        )

    def resume_replay(self) -> None:
        """Let a paused replica go on. Raises ``EmbeddedServerError`` if it is no replica."""
        self._require_replica("resumed")
        self.execute("select pg_catalog.pg_wal_replay_resume()")

    def kill(self) -> None:
        """Kill the server, as a crash does, and wait until its processes are gone. ``restart`` starts it.

        Raises ``EmbeddedServerError`` if it does not run, or if a process of it does not end.
        """
        with lifecycle_lock(self._folder):
            if not is_held(self._folder.alive):
                raise EmbeddedServerError(
                    f"the server in {self.folder} does not run", hint="start it again: restart()"
                )
            postmaster.kill_postmaster(self._folder)

    def restart(self, timeout: float = 60.0) -> None:
        """Restart the server at the same address with the same options. All connections to it end.

        A server that was killed is started again. Raises ``EmbeddedServerError`` if it was stopped, or cannot
        be started again.
        """
        check("restart", timeout=timeout)
        with lifecycle_lock(self._folder):
            state = read_state(self._folder)
            if state is None:
                raise EmbeddedServerError(
                    f"the server in {self.folder} does not run", hint="start it: plainsql.embedded.start"
                )
            restart_server(self._folder, state, self._binaries, timeout)

    def _until(self, condition: str, timeout: float, otherwise: str, **variables: str) -> None:
        # Each statement is a transaction of its own: a snapshot that lasts would hold the replay up.
        rounds = max(1, round(timeout / _WATCH_S))
        said = self.execute(
            f"select 1 where not ({condition})\n\\watch interval={_WATCH_S} count={rounds} min_rows=1\n"
            f"select '{_DONE}' where {condition}",
            **variables,
        )
        if not said.endswith(_DONE):
            raise EmbeddedServerError(
                f"{otherwise} after {timeout:g} s", detail=self.log_tail(), hint="look at the server's log"
            )

    def _require_replica(self, done: str) -> None:
        if not self.is_replica:
            raise self._refused(done)

    def _refused(self, done: str) -> EmbeddedServerError:
        return EmbeddedServerError(
            f"the server in {self.folder} is no replica, and cannot be {done}",
            hint="start a replica: plainsql.embedded.start(replica_of=…)",
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
