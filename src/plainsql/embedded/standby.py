"""Replicas: hot standbys that stream from their primary, copied with ``pg_basebackup``.

A replica has a replication slot on its primary, so that the primary keeps what the replica has not received.
The slot lasts as long as the replica runs: a primary does not fill its disk for a replica that is stopped. A
replica whose missing part is gone from the primary is copied again. Its data are a copy, so nothing is lost.

The password of the primary is in a file of the replica's folder, and in no setting, URL or command line.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from plainsql.conninfo import Conninfo
from plainsql.embedded import postmaster
from plainsql.embedded.binaries import Binaries, find_binaries
from plainsql.embedded.cluster import SUPERUSER
from plainsql.embedded.privileges import Identity
from plainsql.embedded.psql import run_psql
from plainsql.embedded.registry import is_held
from plainsql.embedded.server_folder import ServerFolder
from plainsql.embedded.state import Replication, State
from plainsql.errors import EmbeddedServerError
from plainsql.files import create_file
from plainsql.urls import hide_password

__all__ = [
    "Primary",
    "copy_primary",
    "current_position",
    "drop_slot",
    "follow",
    "is_standby",
    "prepare_standby",
    "wait_until_streaming",
]

logger = logging.getLogger("plainsql.embedded")

_MINIMUMS: Final = (
    *("max_connections", "max_worker_processes", "max_wal_senders"),
    *("max_prepared_transactions", "max_locks_per_transaction"),
)
"""A hot standby is refused if one of these is lower than its primary's."""
_CONNECT_S: Final = 5
_QUERY_S: Final = 20.0
_POLL_INTERVAL_S: Final = 0.01
_GONE: Final = re.compile(
    r"requested WAL segment \S+ has already been removed"
    r"|requested starting point \S+ (?:on timeline \d+ )?is (?:not in this server|ahead of)"
    r"|requested timeline \d+ is not (?:a child|in this server)"
    r"|forked off current database system timeline"
    r"|highest timeline \d+ of the primary is behind"
    r"|can no longer (?:get changes from|access) replication slot"
    r"|replication slot \S+ (?:does not exist|has been invalidated)"
)
"""The messages of a standby that cannot go on from where it is."""

_FACTS: Final = """
select
  current_setting('server_version_num')::integer / 10000,
  current_setting('server_version'),
  (select r.rolsuper from pg_catalog.pg_roles as r where r.rolname = current_user),
  current_setting('wal_level'),
  (select c.system_identifier from pg_catalog.pg_control_system() as c)
"""
_SETTING: Final = "select current_setting('{name}')"
_SLOT: Final = """
select pg_catalog.pg_create_physical_replication_slot(:'slot', true)
where not exists (select from pg_catalog.pg_replication_slots as s where s.slot_name = :'slot')
"""
_DROP: Final = """
select pg_catalog.pg_terminate_backend(s.active_pid, 5000)
from pg_catalog.pg_replication_slots as s
where s.slot_name = :'slot' and s.active_pid is not null;
select pg_catalog.pg_drop_replication_slot(s.slot_name)
from pg_catalog.pg_replication_slots as s
where s.slot_name = :'slot'
"""
_POSITION: Final = """
select case
  when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()
  else pg_catalog.pg_logical_emit_message(false, 'plainsql', '', true)
end
"""
"""A commit need not be flushed, and so not sent, before this message is (``synchronous_commit`` off)."""
_STREAMING: Final = """
select count(*)
from pg_catalog.pg_replication_slots as s
inner join pg_catalog.pg_stat_replication as r on r.pid = s.active_pid
where s.slot_name = :'slot' and r.state = 'streaming'
"""


@dataclass(frozen=True, slots=True)
class Primary:
    """The server that a replica copies, and its login."""

    shown: str
    """The URL without a password."""
    conninfo: str
    """The parameters for libpq, without a password."""
    user: str
    passwords: str
    """The lines of a password file."""
    password: str
    """The password of its superuser, for the replica's own URLs; an empty text if it is not known."""

    @classmethod
    def of(cls, url: str, *, password: str | None = None) -> Primary:
        """Return the primary of a URL.

        Args:
            url: of the primary. The environment adds to it as it does for libpq, unless ``password`` is
                given.
            password: the superuser's, of an embedded server.

        Raises ``ConnectError`` if the URL cannot be read.
        """
        found = Conninfo(url, {} if password is not None else None)
        addresses = found.addresses()
        lines = [
            ":".join([*map(_escaped, (one.host, str(one.port))), "*", "*", _escaped(one.password)])
            for one in addresses
            if one.password
        ]
        given = {
            **found.values(),
            "host": ",".join(one.host for one in addresses),
            "port": ",".join(str(one.port) for one in addresses),
            "user": found.user,
            "dbname": found["dbname"] or SUPERUSER,
            "connect_timeout": found.integer("connect_timeout") or _CONNECT_S,
        }
        for name in ("password", "passfile", "hostaddr", "client_encoding", "replication"):
            given.pop(name, None)
        return cls(
            shown=hide_password(url),
            conninfo=" ".join(f"{name}={_quoted(str(value))}" for name, value in given.items()),
            user=found.user,
            passwords="\n".join([*lines, ""]),
            password=found["password"] if password is None else password,
        )


def prepare_standby(
    place: ServerFolder, primary: Primary, identity: Identity, binaries: Binaries, version: str
) -> Replication:
    """Check the primary, keep its password, and return what the replica's start needs to know.

    An old copy of another cluster is removed.

    Raises ``EmbeddedServerError`` if the primary does not answer, has another major version, or cannot be
    copied, and if the folder holds data that are not a replica's.
    """
    if place.data.exists() and not is_standby(place):
        raise EmbeddedServerError(
            f"the data in {place.path} are a server's own, not a replica's",
            detail="a replica that was promoted has data of its own as well",
            hint=f"give another folder, or remove {place.path} to copy the primary again",
        )
    for path, text in ((place.primary_password, primary.passwords), (place.password, primary.password)):
        path.unlink(missing_ok=True)
        with create_file(path, 0o600) as file:
            file.write(text.encode())
        identity.give(path)
    conninfo = f"{primary.conninfo} passfile={_quoted(str(place.primary_password))}"
    major = version.partition(".")[0]
    found = _ask(binaries, conninfo, ";".join([_FACTS, *map(_setting, _MINIMUMS)]), primary.shown)
    facts, *minimums = found.splitlines()
    its_major, its_version, is_superuser, wal_level, cluster = facts.split("|")
    if its_major != major:
        raise EmbeddedServerError(
            f"a replica of {primary.shown} needs PostgreSQL {its_major}: that is {its_version}, "
            f"and this is PostgreSQL {version}",
            hint="replicate between servers of one major version",
        )
    if is_superuser != "t":
        raise EmbeddedServerError(
            f"{primary.shown}: the role {primary.user!r} is no superuser, and a replica is made by one",
            hint="name a superuser in the URL",
        )
    if wal_level == "minimal":
        raise EmbeddedServerError(
            f"{primary.shown} cannot be replicated: its wal_level is minimal",
            hint="set wal_level = replica there, and start it again",
        )
    if place.data.exists() and _cluster_of(place, identity, binaries) != cluster:
        logger.info("the replica in %s was of another cluster than %s", place.path, primary.shown)
        shutil.rmtree(place.data)
    name = hashlib.sha256(os.fsencode(place.path)).hexdigest()[:16]
    return Replication(
        primary=primary.shown,
        conninfo=conninfo,
        user=primary.user,
        slot=f"plainsql_replica_{name}",
        minimums=dict(zip(_MINIMUMS, minimums, strict=True)),
    )


def copy_primary(
    place: ServerFolder, replication: Replication, identity: Identity, binaries: Binaries, *, scratch: bool
) -> None:
    """Copy the primary's data directory, completely or not at all, and make the replica's slot.

    Raises ``EmbeddedServerError`` if ``pg_basebackup`` fails; the detail is the end of its output.
    """
    shutil.rmtree(place.data, ignore_errors=True)
    new = place.path / "data.new"
    if new.is_symlink():
        new.unlink()
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    identity.give(new)
    _ask(binaries, replication.conninfo, _DROP, replication.primary, slot=replication.slot)
    command: list[str | Path] = [
        binaries.path("pg_basebackup"),
        "--pgdata",
        new,
        "--dbname",
        replication.conninfo,
    ]
    command += ["--no-password", "--checkpoint=fast", "--wal-method=stream", "--no-manifest"]
    command += ["--slot", replication.slot]
    try:
        # pg_basebackup would make it after its start: another checkpoint may remove the log in between.
        follow(replication, binaries)
        done = identity.run([*command, *(["--no-sync"] if scratch else [])])
        if done.returncode != 0:
            raise EmbeddedServerError(
                f"{replication.primary} cannot be copied to {place.path}: pg_basebackup failed",
                detail="\n".join(done.stdout.strip().splitlines()[-12:]) or f"status {done.returncode}",
                hint="the detail is the end of its output",
            )
        # Some systems keep the configuration outside of the data directory.
        with suppress(FileExistsError):
            create_file(new / "postgresql.conf", 0o600).close()
        create_file(new / "standby.signal", 0o600).close()
        identity.give(new)
    except BaseException:
        # Also after Ctrl-C.
        shutil.rmtree(new, ignore_errors=True)
        drop_slot(replication)
        raise
    new.rename(place.data)


def follow(replication: Replication, binaries: Binaries) -> None:
    """Make the slot of a replica if it is missing: from then on the primary keeps what it writes."""
    _ask(binaries, replication.conninfo, _SLOT, replication.primary, slot=replication.slot)


def is_standby(place: ServerFolder) -> bool:
    """Return whether the data are a replica's: the server removes the file at the end of a promotion."""
    return (place.data / "standby.signal").exists()


def wait_until_streaming(
    place: ServerFolder, state: State, binaries: Binaries, timeout: float
) -> Literal["ready", "gone", "ended"]:
    """Wait until the replica has what its primary has; return "ready" then.

    It is "gone" if the primary does not have any more what the replica needs, and "ended" if the replica
    ends. A replica that applies late may have much to apply before it streams: it need not.

    Raises ``EmbeddedServerError`` if none of this happens within ``timeout`` seconds.
    """
    replication = state.replication
    assert replication is not None
    delayed = state.settings.get("recovery_min_apply_delay", "0") != "0"
    deadline = time.monotonic() + timeout
    while True:
        if not is_held(place.alive):
            return "ended"
        if _GONE.search(postmaster.log_tail(place, 200)):
            return "gone"
        try:
            ready = postmaster.is_ready(place)
        except ConnectionRefusedError:
            return "ended"
        if ready and (delayed or _is_streaming(replication, binaries)):
            return "ready"
        if time.monotonic() > deadline:
            raise EmbeddedServerError(
                f"the replica in {place.path} does not stream from {replication.primary} after {timeout:g} s",
                detail=f"the end of {place.log}:\n{postmaster.log_tail(place, 15)}",
                hint="see the detail, or give more time: timeout=",
            )
        time.sleep(_POLL_INTERVAL_S)


def _is_streaming(replication: Replication, binaries: Binaries) -> bool:
    found = _ask(binaries, replication.conninfo, _STREAMING, replication.primary, replication.slot)
    return found != "0"


def current_position(replication: Replication, binaries: Binaries) -> str:
    """Return the position behind all that the primary has written, which is sent from now on."""
    return _ask(binaries, replication.conninfo, _POSITION, replication.primary)


def drop_slot(replication: Replication) -> None:
    """Drop the slot on the primary, if that answers. A slot that stays keeps all that the primary writes."""
    try:
        _ask(find_binaries(), replication.conninfo, _DROP, replication.primary, replication.slot)
    except EmbeddedServerError as error:
        logger.info("the replication slot %s was not dropped: %s", replication.slot, error.message)


def _ask(binaries: Binaries, conninfo: str, sql: str, shown: str, slot: str = "") -> str:
    """Run SQL on the primary."""
    try:
        return run_psql(binaries, conninfo, sql, {"slot": slot}, None, timeout=_QUERY_S)
    except subprocess.TimeoutExpired:
        raise EmbeddedServerError(
            f"the primary {shown} does not answer within {_QUERY_S:g} s", hint="look at its log"
        ) from None
    except EmbeddedServerError as error:
        raise EmbeddedServerError(
            f"the primary {shown} refuses a replica: {error.message}",
            detail=error.detail,
            hint="start the primary first; its role must be a superuser who may replicate",
        ) from None


def _setting(name: str) -> str:
    return _SETTING.format(name=name)


def _cluster_of(place: ServerFolder, identity: Identity, binaries: Binaries) -> str:
    """Return the system identifier of the data; an empty text if they are damaged."""
    said = identity.run([binaries.path("pg_controldata"), "-D", place.data]).stdout
    found = re.search(r"^Database system identifier:\s+(\d+)$", said, re.MULTILINE)
    return found[1] if found else ""


def _escaped(text: str) -> str:
    """Write a field of a password file."""
    return text.replace("\\", r"\\").replace(":", r"\:")


def _quoted(text: str) -> str:
    """Write a value of a connection string."""
    return "'" + text.replace("\\", r"\\").replace("'", r"\'") + "'"
