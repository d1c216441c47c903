"""A primary and its streaming standby: real servers to be promoted, fenced, killed and rewound.

    with failover_pair() as (primary, standby):
        primary.execute("create table t (n integer)")
        standby.wait_for(primary)
        async with open_proxy(primary.socket) as proxy:  # the address of the service
            db = await plainsql.connect(proxy.url())
            standby.promote()
            proxy.retarget(standby.socket)  # new connections; those that are open stay

Nothing here depends on time: replay is waited for by its position in the write-ahead log, and `pg_ctl` waits
for the end of a promotion.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from plainsql.embedded.binaries import Binaries, find_binaries
from plainsql.embedded.privileges import Identity, choose_identity
from plainsql.errors import EmbeddedServerError

__all__ = ["Node", "failover_pair", "new_node"]

_WAIT_S = 60.0
"""The most seconds that a step may take on a slow machine."""
_PORT = 5432
"""A part of the socket's name: nothing listens on a network."""
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "on",  # of what pg_rewind reads
    "wal_log_hints": "on",
    "hot_standby": "on",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "max_wal_size": "128MB",
    "wal_keep_size": "64MB",
    "hot_standby_feedback": "on",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "100ms",
    "logging_collector": "off",
    "listen_addresses": "",
    "port": str(_PORT),
}


class Node:
    """One PostgreSQL server; listens on a Unix socket alone and trusts those who can reach it."""

    def __init__(self, folder: Path, identity: Identity, binaries: Binaries) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._identity = identity
        self._binaries = binaries

    @property
    def socket(self) -> Path:
        """The socket, for `open_proxy`."""
        return self.folder / f".s.PGSQL.{_PORT}"

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """The URL of one of its databases."""
        return f"postgresql://{user}@/{database}?host={quote(str(self.folder), safe='')}&port={_PORT}"

    def give(self, file: Path) -> None:
        """Make the user that the server runs as the owner of a file."""
        self._identity.give(file)

    def run(self, program: str, *arguments: str | Path) -> None:
        """Run one of PostgreSQL's programs to its end; skip the test if it cannot be run."""
        log = self.folder / f"{program}.log"
        with log.open("ab") as out:
            done = self._identity.run(
                [self._binaries.path(program), *arguments], stdout=out.fileno(), stderr=subprocess.STDOUT
            )
        if done.returncode:
            said = log.read_text(errors="replace")[-500:]
            server = self.folder / "server.log"
            if server.exists():
                said += server.read_text(errors="replace")[-500:]
            raise RuntimeError(f"{program} failed: {said}")

    def start(self, settings: Mapping[str, str] = {}) -> None:
        """Start it, and wait until it takes connections."""
        given = {**_SETTINGS, **settings, "unix_socket_directories": str(self.folder)}
        options = " ".join(f"-c {name}={value}" for name, value in given.items())
        log = self.folder / "server.log"
        wait = f"{_WAIT_S:.0f}"
        self.run("pg_ctl", "start", "-w", "-s", "-t", wait, "-D", self.data, "-l", log, "-o", options)

    def stop(self, *, immediately: bool = False) -> None:
        """Stop it, orderly and with its connections, or as a crash would."""
        mode = "immediate" if immediately else "fast"
        with suppress(RuntimeError):  # it does not run
            self.run("pg_ctl", "stop", "-w", "-s", "-t", f"{_WAIT_S:.0f}", "-m", mode, "-D", self.data)

    def promote(self) -> None:
        """Make a standby a primary, on the next timeline, and wait until it is one; connections stay."""
        self.run("pg_ctl", "promote", "-w", "-s", "-t", f"{_WAIT_S:.0f}", "-D", self.data)

    def follow(self, primary: Node) -> None:
        """Make this server, which does not run, a standby of another at its next start."""
        (self.data / "standby.signal").touch()
        self._identity.give(self.data / "standby.signal")
        with (self.data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            address = f"host={primary.folder} port={_PORT} user=postgres"
            file.write(f"primary_conninfo = '{address}'\nrecovery_target_timeline = 'latest'\n")

    def rewind(self, primary: Node) -> None:
        """Take back what this server, which was stopped in order, has written after another was promoted,
        and make it that one's standby.
        """
        source = f"host={primary.folder} port={_PORT} user=postgres dbname=postgres"
        primary.execute("checkpoint")  # without one, pg_rewind may see the old timeline
        self.run("pg_rewind", "-D", self.data, "--source-server", source)
        self.follow(primary)

    def read_only(self) -> None:
        """Fence it as many failover scripts do: it refuses writes from now on, and connections stay."""
        self.execute("alter system set default_transaction_read_only = on")
        self.execute("select pg_reload_conf()")
        self._until("show default_transaction_read_only", "on")

    def execute(self, statement: str, *values: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own, and return its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def wait_for(self, primary: Node) -> None:
        """Wait until this standby has replayed what the primary has written by now."""
        ((written,),) = primary.execute("select pg_current_wal_insert_lsn()::text")
        primary.execute("checkpoint")  # what was not flushed is sent
        self._until(f"select coalesce(pg_last_wal_replay_lsn() >= '{written}', false)", True)

    def _until(self, statement: str, wanted: object) -> None:
        deadline = time.monotonic() + _WAIT_S
        while self.execute(statement) != [(wanted,)]:
            assert time.monotonic() < deadline, f"not so after {_WAIT_S:g} s: {statement}"
            time.sleep(0.01)


@contextmanager
def new_node(folder: Path) -> Generator[Node]:
    """Make a server's folder, empty, and stop what runs there afterwards."""
    folder.mkdir(mode=0o700)
    binaries = find_binaries()
    identity = choose_identity(folder, folder / "data", binaries.path("postgres"))
    identity.give(folder)
    node = Node(folder, identity, binaries)
    try:
        yield node
    finally:
        if (node.data / "postmaster.pid").exists():
            node.stop(immediately=True)


@contextmanager
def failover_pair(settings: Mapping[str, str] = {}) -> Generator[tuple[Node, Node]]:
    """Start a primary and a streaming standby of it; both are gone afterwards.

    Skips the test if the embedded binaries are not installed or cannot be run by this user.
    """
    top = Path(tempfile.mkdtemp(prefix="psql-ha-"))  # the path of a socket must be short
    top.chmod(0o711)
    try:
        with new_node(top / "a") as primary, new_node(top / "b") as standby:
            _initialise(primary)
            primary.start(settings)
            source = f"host={primary.folder} port={_PORT} user=postgres"
            standby.run(
                "pg_basebackup", "-D", standby.data, "-d", source, "-X", "stream", "-c", "fast", "--no-sync"
            )
            standby.follow(primary)
            standby.start(settings)
            standby.wait_for(primary)
            yield primary, standby
    except EmbeddedServerError as error:
        pytest.skip(f"the embedded PostgreSQL does not run here: {error.message}")
    finally:
        shutil.rmtree(top, ignore_errors=True)


def _initialise(node: Node) -> None:
    arguments: Sequence[str] = (
        *("-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"),
        *("--no-sync", "--no-instructions"),
    )
    node.run("initdb", "-D", node.data, *arguments)
