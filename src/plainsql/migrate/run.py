"""Apply, roll back, look: connect, take the lock, plan under it, then one file after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from psycopg import errors

from plainsql.errors import MigrationError
from plainsql.migrate import comparison, lock
from plainsql.migrate.connection import Connection, connected
from plainsql.migrate.discovery import Folder, read_folder
from plainsql.migrate.execute import execute
from plainsql.migrate.ledger import Ledger, find_schema
from plainsql.migrate.marks import Mark, find_marked, plan_mark
from plainsql.migrate.plan import Ledgers, plan_apply, plan_rollback
from plainsql.migrate.pooler_check import refuse_pooler
from plainsql.migrate.results import Direction, OnProgress, Progress, Run, Status, Step
from plainsql.options import check
from plainsql.pooler import Pooler

__all__ = ["Confirm", "ConfirmMarks", "apply", "mark", "rollback", "status"]

Confirm = Callable[[Sequence[Step]], bool]
ConfirmMarks = Callable[[Sequence[Mark]], bool]


def status(url: str, folder: str | os.PathLike[str], *, layers: Sequence[str] | None = None) -> Status:
    """Say of each migration whether it is applied. Changes nothing, takes no lock.

    Args:
        url: a libpq URL or connection string; the role needs to read the records only.
        folder: where the ``.sql`` files are, with or without a folder for each layer.
        layers: only these; all for ``None``.

    Raises ``ConnectError`` if no connection. Raises ``MigrationError`` if the folder cannot be read.
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
    wait: float = 60.0,
    pooler: Pooler | None = None,
    on_progress: OnProgress | None = None,
) -> Run:
    """Apply what is pending, in the order of the numbers, one layer after the other.

    Args:
        url: a libpq URL or connection string. Through a pooler in transaction mode it is refused: the lock
            that keeps runs apart belongs to a session.
        folder: where the ``.sql`` files are, with or without a folder for each layer.
        to: stop after this one: ``0003``, ``0003_add_index`` or ``realty/0003``; other layers are left alone.
        layers: only these, in the order given; all for ``None``.
        dry_run: only plan. ``Run.planned`` holds the SQL.
        allow_edited: go on though applied files were edited or are gone.
        lock_timeout: seconds that a statement of a transactional file waits for a lock; 0 for ever.
            Files outside a transaction wait for ever: a short limit would leave an invalid index behind.
        wait: seconds to wait for another run to end.
        pooler: ``session`` if a pooler that lends its connections for a session stands before the server; by
            default each is refused, as it cannot be asked.
        on_progress: told of each start and, after its commit, of each end.

    Raises ``ConnectError`` if no connection, or a pooler is in the way. Raises ``MigrationFailedError``
    if a statement failed; what was completed before stays, and is named. Raises ``DriftError`` if an
    applied file was edited, or is gone. Raises ``LockedError`` if another run did not end in time. Raises
    ``MigrationError`` if the folder cannot be read, or ``to`` names nothing in it.
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
        wait=wait,
        pooler=pooler,
        on_progress=on_progress,
    )
    files = read_folder(folder).only(layers)
    target = files.find(to) if to is not None else None

    def plan(ledgers: Ledgers) -> list[Step]:
        return plan_apply(files, ledgers, target=target, allow_edited=allow_edited, lock_timeout=lock_timeout)

    return _run(
        "apply",
        url,
        files,
        plan,
        dry_run=dry_run,
        lock_timeout=lock_timeout,
        wait=wait,
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
    wait: float = 60.0,
    pooler: Pooler | None = None,
    on_progress: OnProgress | None = None,
) -> Run:
    """Undo applied migrations by their rollback files, the one that was applied last first.

    Migrations whose run was cut off come before those, as part of them may be there.

    Args:
        url: as for ``apply``.
        folder: as for ``apply``.
        to: undo what was applied after this one, in its layer; it stays applied itself. Wins over ``steps``.
        steps: how many to undo.
        all: undo all of them. Wins over ``to``.
        layers: only these; all for ``None``.
        dry_run: only plan. ``Run.planned`` holds the SQL.
        confirm: asked once, with the plan, while the lock is held; nothing is done unless it says yes.
        lock_timeout: as for ``apply``.
        wait: as for ``apply``.
        pooler: as for ``apply``.
        on_progress: as for ``apply``.

    Raises ``ConnectError`` if as for ``apply``, and so MigrationFailedError and LockedError. Raises
    ``MigrationError`` if one of them has no rollback file, or no file at all; nothing was done.
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
        wait=wait,
        pooler=pooler,
        on_progress=on_progress,
    )
    files = read_folder(folder).only(layers)
    target = files.find(to) if to is not None and not all else None

    def plan(ledgers: Ledgers) -> list[Step]:
        count = None if all else steps
        return plan_rollback(files, ledgers, target=target, steps=count, lock_timeout=lock_timeout)

    return _run(
        "rollback",
        url,
        files,
        plan,
        dry_run=dry_run,
        lock_timeout=lock_timeout,
        wait=wait,
        pooler=pooler,
        on_progress=on_progress,
        confirm=confirm,
    )


def mark(
    url: str,
    folder: str | os.PathLike[str],
    name: str,
    *,
    applied: bool = True,
    layers: Sequence[str] | None = None,
    dry_run: bool = False,
    force: bool = False,
    confirm: ConfirmMarks | None = None,
    wait: float = 60.0,
    pooler: Pooler | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Mark, ...]:
    """Record that a migration is applied as its file stands, or that it is not; run nothing of it.

    Args:
        url: as for ``apply``.
        folder: as for ``apply``.
        name: ``0003``, ``0003_add_index`` or ``realty/0003``. One whose file is gone by its whole name.
        applied: whether to record that it is applied, or that it is not.
        layers: as for ``apply``.
        dry_run: only look.
        force: record it though the database is found to be otherwise.
        confirm: asked once, while the lock is held; nothing is recorded unless it says yes.
        wait: as for ``apply``.
        pooler: as for ``apply``.
        on_progress: told who holds the lock, if it must be waited for.

    Returns what was recorded, or in a dry run would be; empty if ``confirm`` said no.

    Raises ``ConnectError`` if as for ``apply``, and so LockedError. Raises ``MigrationError`` if it is so
    already, or the database is found to be otherwise.
    """
    check(
        "migrate.mark",
        url=url,
        folder=folder,
        name=name,
        applied=applied,
        layers=layers,
        dry_run=dry_run,
        force=force,
        confirm=confirm,
        wait=wait,
        pooler=pooler,
        on_progress=on_progress,
    )
    files = read_folder(folder).only(layers)

    def plan(connection: Connection, ledgers: Ledgers) -> tuple[Mark, ...]:
        found = find_marked(files, comparison.compare(files, ledgers), name)
        return plan_mark(connection, files, found, ledgers, applied=applied, force=force)

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
    lock_timeout: float,
    wait: float,
    pooler: Pooler | None,
    on_progress: OnProgress | None,
    confirm: Confirm | None = None,
) -> Run:
    report = on_progress or _ignore
    with connected(url) as connection:
        if dry_run:
            return Run(direction, tuple(plan(_ledgers(connection, files))), (), 0.0)
        refuse_pooler(connection, "plainsql migrate", pooler)
        with lock.held(
            connection, wait=wait, on_waiting=_on_waiting(direction, on_progress), by_session=True
        ):
            started, done = time.monotonic(), list[str]()
            # Read under the lock: what another run did in the meantime is not to be done again.
            ledgers = _ledgers(connection, files)
            steps = plan(ledgers)
            if not steps:
                # A standby, or a role that may not write: a deployment with nothing new needs neither.
                with suppress(errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction):
                    _prepare(files, ledgers)
                return Run(direction, (), (), time.monotonic() - started)
            _refuse_read_only(connection)
            _prepare(files, ledgers)
            if confirm is not None and not confirm(steps):
                return Run(direction, tuple(steps), (), 0.0)
            for step in steps:
                ledger = ledgers[step.migration.layer]
                execute(connection, step, ledger, lock_timeout=lock_timeout, done=done, report=report)
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
            "this server is a standby, which takes no writes; nothing was run",
            hint="connect to the primary: target_session_attrs=read-write finds it among several hosts",
        )
    raise MigrationError(
        "transactions are read-only here (default_transaction_read_only is on); nothing was run",
        hint=f"connect as another role, or: alter role {connection.info.user} "
        "set default_transaction_read_only = off",
    )


def _ignore(progress: Progress) -> None:
    """Nobody asked to be told."""


def _prepare(files: Folder, ledgers: Ledgers) -> None:
    for ledger in ledgers.values():
        ledger.create_tables()
    _adopt(files, ledgers)


def _adopt(files: Folder, ledgers: Ledgers) -> None:
    """Take down the checksum of what yoyo itself applied, so that later edits are noticed."""
    for layer, members in files.sets.items():
        applied, records = ledgers[layer].applied(), ledgers[layer].records()
        for migration in members:
            if migration.id in applied and migration.id not in records:
                ledgers[layer].note(migration.id, migration.checksum, "applied")


def _ledgers(connection: Connection, files: Folder) -> dict[str | None, Ledger]:
    schema = find_schema(connection)
    return {layer: Ledger(connection, schema, layer) for layer in files.sets}
