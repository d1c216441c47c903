"""The public functions. Each connects, acquires the lock, plans under it, and runs file after file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from psycopg import errors, sql

from plainsql.errors import MigrationError
from plainsql.migrate import comparison, lock
from plainsql.migrate.connection import Connection, connected
from plainsql.migrate.discovery import Folder, read_folder
from plainsql.migrate.execute import execute
from plainsql.migrate.ledger import Ledger, find_schema
from plainsql.migrate.lock_limit import LockLimit
from plainsql.migrate.marks import Mark, find_baseline, find_marked, plan_mark
from plainsql.migrate.plan import Ledgers, plan_apply, plan_rollback
from plainsql.migrate.pooler_check import refuse_pooler
from plainsql.migrate.results import Direction, OnProgress, Progress, Run, Status, Step
from plainsql.options import check
from plainsql.pooler import Pooler

__all__ = ["Confirm", "ConfirmMarks", "apply", "mark", "rollback", "status"]

_READ_ONLY_SOURCE = b"select source from pg_settings where name = 'default_transaction_read_only'"

Confirm = Callable[[Sequence[Step]], bool]
ConfirmMarks = Callable[[Sequence[Mark]], bool]


def status(url: str, folder: str | os.PathLike[str], *, layers: Sequence[str] | None = None) -> Status:
    """Return the state of each migration. Changes nothing and takes no lock.

    Args:
        url: a libpq URL or connection string; the role needs to read the records only.
        folder: the folder of the ``.sql`` files, with or without a folder for each layer.
        layers: only these; all for ``None``.

    Raises ``ConnectError`` without a connection, ``MigrationError`` if the folder cannot be read.
    """
    check("migrate.status", url=url, folder=folder, layers=layers)
    files = read_folder(folder).only(layers)
    with connected(url) as connection:
        return comparison.compare(files, _ledgers(connection, files))


def apply(
    url: str,
    folder: str | os.PathLike[str],
    *,
    to: str | None = None,
    layers: Sequence[str] | None = None,
    dry_run: bool = False,
    allow_edited: bool = False,
    lock_timeout: float = 5.0,
    lock_retries: int = 5,
    wait: float = 120.0,
    server_wait: float = 0.0,
    pooler: Pooler | None = None,
    on_progress: OnProgress | None = None,
) -> Run:
    """Apply the pending migrations, in the order of their numbers, one layer after the other.

    Args:
        url: a libpq URL or connection string. A pooler in transaction mode is refused: the lock that keeps
            runs apart belongs to a session.
        folder: the folder of the ``.sql`` files, with or without a folder for each layer.
        to: stop after this one: ``0003``, ``0003_add_index`` or ``realty/0003``. Other layers do not run.
        layers: only these, in the order given; all for ``None``.
        dry_run: only plan. ``Run.planned`` holds the SQL.
        allow_edited: continue although applied files were edited or are gone.
        lock_timeout: seconds that a statement waits for a lock; 0 is no limit. ``concurrently``, ``call`` and
            ``do`` outside a transaction have none: a part of their work would stay. A migration that sets
            ``lock_timeout`` itself has its own.
        lock_retries: the number of tries after the first one that got no lock in time, each after a growing
            random pause. The migration is rolled back before.
        wait: seconds to wait for another run to end; the default covers five retries for one lock.
        server_wait: seconds to wait for a server that is starting: nothing listens there yet, its name is not
            known yet, or it does not accept connections yet. A refused login or database fails immediately.
        pooler: ``session`` if a pooler in session mode is in front of the server. By default every pooler is
            refused, because it cannot be queried for its mode.
        on_progress: called with the start of each file and, after its commit, with its end.

    Raises ``ConnectError`` without a connection, or if a pooler is in between. Raises
    ``MigrationFailedError`` if a statement fails; migrations completed before are kept, and the error names
    them. Raises ``DriftError`` if an applied file was edited or is gone, ``LockedError`` if another run does
    not end in time, ``MigrationError`` if the folder cannot be read or has no migration ``to``.
    """
    check(
        "migrate.apply",
        url=url,
        folder=folder,
        to=to,
        layers=layers,
        dry_run=dry_run,
        allow_edited=allow_edited,
        lock_timeout=lock_timeout,
        lock_retries=lock_retries,
        wait=wait,
        server_wait=server_wait,
        pooler=pooler,
        on_progress=on_progress,
    )
    limit = LockLimit(lock_timeout, lock_retries)
    files = read_folder(folder).only(layers)
    target = files.find(to) if to is not None else None

    def plan(ledgers: Ledgers) -> list[Step]:
        return plan_apply(files, ledgers, target=target, allow_edited=allow_edited, limit=limit)

    return _run(
        "apply",
        url,
        files,
        plan,
        dry_run=dry_run,
        limit=limit,
        wait=wait,
        server_wait=server_wait,
        pooler=pooler,
        on_progress=on_progress,
    )


def rollback(
    url: str,
    folder: str | os.PathLike[str],
    *,
    to: str | None = None,
    steps: int = 1,
    all: bool = False,
    layers: Sequence[str] | None = None,
    dry_run: bool = False,
    confirm: Confirm | None = None,
    lock_timeout: float = 5.0,
    lock_retries: int = 5,
    wait: float = 120.0,
    server_wait: float = 0.0,
    pooler: Pooler | None = None,
    on_progress: OnProgress | None = None,
) -> Run:
    """Undo applied migrations by their rollback files, the one that was applied last first.

    Migrations whose run was cut off come before those, because a part of them may be applied.

    Args:
        url: as for ``apply``.
        folder: as for ``apply``.
        to: undo the migrations of its layer that were applied after this one, which stays applied. Overrides
            ``steps``.
        steps: the number of migrations to undo.
        all: undo all of them. Overrides ``to``.
        layers: only these; all for ``None``.
        dry_run: only plan. ``Run.planned`` holds the SQL.
        confirm: called once with the plan, under the lock; unless it returns True, nothing is done.
        lock_timeout: as for ``apply``.
        lock_retries: as for ``apply``.
        wait: as for ``apply``.
        server_wait: as for ``apply``.
        pooler: as for ``apply``.
        on_progress: as for ``apply``.

    Raises ``ConnectError``, ``MigrationFailedError`` and ``LockedError`` as ``apply`` does, and
    ``MigrationError`` if one of them has no rollback file, or no file at all; nothing is done then.
    """
    check(
        "migrate.rollback",
        url=url,
        folder=folder,
        to=to,
        steps=steps,
        all=all,
        layers=layers,
        dry_run=dry_run,
        confirm=confirm,
        lock_timeout=lock_timeout,
        lock_retries=lock_retries,
        wait=wait,
        server_wait=server_wait,
        pooler=pooler,
        on_progress=on_progress,
    )
    limit = LockLimit(lock_timeout, lock_retries)
    files = read_folder(folder).only(layers)
    target = files.find(to) if to is not None and not all else None

    def plan(ledgers: Ledgers) -> list[Step]:
        count = None if all else steps
        return plan_rollback(files, ledgers, target=target, steps=count, limit=limit)

    return _run(
        "rollback",
        url,
        files,
        plan,
        dry_run=dry_run,
        limit=limit,
        wait=wait,
        server_wait=server_wait,
        pooler=pooler,
        on_progress=on_progress,
        confirm=confirm,
    )


def mark(
    url: str,
    folder: str | os.PathLike[str],
    name: str | None = None,
    *,
    to: str | None = None,
    applied: bool = True,
    layers: Sequence[str] | None = None,
    dry_run: bool = False,
    force: bool = False,
    confirm: ConfirmMarks | None = None,
    wait: float = 120.0,
    pooler: Pooler | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Mark, ...]:
    """Record that a migration is applied with the content of its file, or that it is not; run nothing.

    Args:
        url: as for ``apply``.
        folder: as for ``apply``.
        name: ``0003``, ``0003_add_index`` or ``realty/0003``; the full name if the file is gone.
        to: in place of ``name``, all migrations of its layer up to this one that are not applied. Their
            objects are not looked up: ``plainsql migrate mark --to`` compares the whole database before.
        applied: whether to record that it is applied, or that it is not.
        layers: as for ``apply``.
        dry_run: only check.
        force: record it although the database contradicts it.
        confirm: called once with the marks, under the lock; unless it returns True, nothing is recorded.
        wait: as for ``apply``.
        pooler: as for ``apply``.
        on_progress: called with the holder of the lock, if another run holds it.

    Returns the recorded marks, in a dry run those that would be recorded; empty if ``confirm`` returns False.

    Raises ``ConnectError`` and ``LockedError`` as ``apply`` does, and ``MigrationError`` if it is recorded
    already, or if the database contradicts it.
    """
    check(
        "migrate.mark",
        url=url,
        folder=folder,
        name=name,
        to=to,
        applied=applied,
        layers=layers,
        dry_run=dry_run,
        force=force,
        confirm=confirm,
        wait=wait,
        pooler=pooler,
        on_progress=on_progress,
    )
    if (name is None) is (to is None):
        raise MigrationError("expected one of name and to, got both or none", hint="name the migration")
    files = read_folder(folder).only(layers)

    def plan(connection: Connection, ledgers: Ledgers) -> tuple[Mark, ...]:
        states = comparison.compare(files, ledgers)
        if to is None:
            found = find_marked(files, states, name or "")
            return plan_mark(connection, files, found, ledgers, applied=applied, force=force)
        found = find_baseline(files, states, to)
        return plan_mark(connection, files, found, ledgers, applied=True, force=True)

    with connected(url) as connection:
        if dry_run:
            return plan(connection, _ledgers(connection, files))
        refuse_pooler(connection, "migrate mark", pooler)
        with lock.held(connection, wait=wait, on_waiting=_on_waiting("apply", on_progress), by_session=True):
            ledgers = _ledgers(connection, files)
            marks = plan(connection, ledgers)
            _refuse_read_only(connection)
            _prepare(files, ledgers)
            if confirm is not None and not confirm(marks):
                return ()
            with connection.transaction():
                for each in marks:
                    each.record(ledgers[each.layer])
            return marks


def _run(
    direction: Direction,
    url: str,
    files: Folder,
    plan: Callable[[Ledgers], list[Step]],
    *,
    dry_run: bool,
    limit: LockLimit,
    wait: float,
    server_wait: float,
    pooler: Pooler | None,
    on_progress: OnProgress | None,
    confirm: Confirm | None = None,
) -> Run:
    report = on_progress or _ignore

    def connecting(reason: str) -> None:
        report(Progress("connecting", direction, text=reason))

    with connected(url, wait=server_wait, on_waiting=connecting) as connection:
        if dry_run:
            return Run(direction, tuple(plan(_ledgers(connection, files))), (), 0.0)
        refuse_pooler(connection, "plainsql migrate", pooler)
        with lock.held(
            connection, wait=wait, on_waiting=_on_waiting(direction, on_progress), by_session=True
        ):
            started, done = time.monotonic(), list[str]()
            # Read under the lock, so that the work of another run meanwhile is not done again.
            ledgers = _ledgers(connection, files)
            steps = plan(ledgers)
            if not steps:
                # A standby, or a role that may not write, is enough for a deployment with nothing new.
                with suppress(errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction):
                    _prepare(files, ledgers)
                return Run(direction, (), (), time.monotonic() - started)
            _refuse_read_only(connection)
            _prepare(files, ledgers)
            if confirm is not None and not confirm(steps):
                return Run(direction, tuple(steps), (), 0.0)
            for step in steps:
                ledger = ledgers[step.migration.layer]
                execute(connection, step, ledger, limit=limit, done=done, report=report)
                done.append(step.name)
            return Run(direction, tuple(steps), tuple(done), time.monotonic() - started)


def _on_waiting(direction: Direction, on_progress: OnProgress | None) -> Callable[[str], None]:
    report = on_progress or _ignore

    def waiting(holder: str) -> None:
        report(Progress("waiting", direction, text=holder))

    return waiting


def _refuse_read_only(connection: Connection) -> None:
    row = connection.execute("show transaction_read_only").fetchone()
    if row is None or row[0] != "on":
        return
    row = connection.execute("select pg_is_in_recovery()").fetchone()
    if row is not None and row[0]:
        raise MigrationError(
            "this server is a standby, which accepts no writes; nothing was run",
            hint="connect to the primary: target_session_attrs=read-write finds it among several hosts",
        )
    raise MigrationError(
        "transactions are read-only here (default_transaction_read_only is on); nothing was run",
        hint=_read_only_hint(connection),
    )


def _read_only_hint(connection: Connection) -> str:
    """Return the way to write again: settings of the connection itself override those of the role."""
    row = connection.execute(_READ_ONLY_SOURCE).fetchone()
    if row is not None and row[0] in ("client", "session"):
        return (
            "this connection sets it: remove default_transaction_read_only from PGOPTIONS, "
            "or from options in the URL"
        )
    role = sql.Identifier(connection.info.user).as_string(connection)
    return f"connect as another role, or: alter role {role} set default_transaction_read_only = off"


def _ignore(progress: Progress) -> None:
    """Ignore the progress: the default ``OnProgress``."""


def _prepare(files: Folder, ledgers: Ledgers) -> None:
    for ledger in ledgers.values():
        ledger.create_tables()
    _record_checksums(files, ledgers)


def _record_checksums(files: Folder, ledgers: Ledgers) -> None:
    """Record the checksums of migrations that yoyo itself applied, so that later edits are noticed."""
    for layer, members in files.sets.items():
        applied, records = ledgers[layer].applied(), ledgers[layer].records()
        for migration in members:
            if migration.id in applied and migration.id not in records:
                ledgers[layer].note(migration.id, migration.checksum, "applied")


def _ledgers(connection: Connection, files: Folder) -> dict[str | None, Ledger]:
    schema = find_schema(connection)
    return {layer: Ledger(connection, schema, layer) for layer in files.sets}
