"""``migrate verify``: each migration goes up, down and up again, and the schema is compared each time.

Only the schema is compared, by the text of ``plainsql.migrate.schema``. Rows that a migration writes, and
those that its rollback loses, are not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plainsql.errors import MigrationError, Place
from plainsql.migrate import comparison, lock
from plainsql.migrate.connection import Connection, connected
from plainsql.migrate.discovery import Migration, read_folder
from plainsql.migrate.errors import MigrationFailedError
from plainsql.migrate.execute import execute
from plainsql.migrate.ledger import Ledger, find_schema
from plainsql.migrate.lock_limit import LockLimit
from plainsql.migrate.plan import plan_step
from plainsql.migrate.results import Direction, OnProgress, Progress
from plainsql.migrate.schema import dump_of
from plainsql.migrate.schema_text import PART, changed_parts, objects_of
from plainsql.options import check

__all__ = ["SchemaDifference", "Verification", "schema_differences", "verify"]

_USED = """
select format('%I.%I', n.nspname, c.relname)
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend as d where d.objid = c.oid and d.deptype = 'e')
order by c.oid
limit 1
"""


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """A difference that a migration and its rollback leave, or the error of one of them."""

    migration: str
    """The migration's name, such as ``realty/0003_add_index``."""
    path: str
    """The file to correct: the rollback, or the migration if only its second run differs."""
    text: str
    """The object, what was expected and what was found."""
    place: Place | None = None
    """The place of the error, if one of them failed."""

    def __str__(self) -> str:
        if self.place is None or not self.place.line:
            return f"{self.path}: {self.text}"
        return "\n".join(filter(None, [f"{self.place}: {self.text}", self.place.caret()]))


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of ``verify``."""

    verified: tuple[str, ...]
    """The names of the migrations that went up, down and up again."""
    without_rollback: tuple[str, ...]
    """The names of those that have no rollback: they went up only."""
    kept: tuple[tuple[str, str], ...]
    """The names of those whose rollback keeps something on purpose, with the reasons of ``-- keeps:``."""
    not_run: tuple[str, ...]
    """The names of those after a migration that could not be applied again."""
    differences: tuple[SchemaDifference, ...]

    @property
    def is_fine(self) -> bool:
        """True if every rollback leaves the schema of before, and every second run that of the first."""
        return not self.differences and not self.not_run


def verify(
    url: str,
    folder: str | os.PathLike[str],
    *,
    layers: Sequence[str] | None = None,
    on_progress: OnProgress | None = None,
) -> Verification:
    """Apply each migration, roll it back and apply it again, and compare the schema each time.

    Args:
        url: a libpq URL or connection string of an empty database, which has the migrations afterwards.
        folder: the folder of the ``.sql`` files, with or without a folder for each layer.
        layers: only these, in the order given; all for ``None``.
        on_progress: called with the start of each migration and with its end.

    Raises ``MigrationError`` if the database is not empty or if the folder cannot be read,
    ``MigrationFailedError`` if a migration cannot be applied at all, ``ConnectError`` without a connection.
    """
    check("migrate.verify", url=url, folder=folder, layers=layers, on_progress=on_progress)
    files = read_folder(folder).only(layers)
    with connected(url) as connection:
        _refuse_used(connection)
        schema = find_schema(connection)
        with lock.held(connection, wait=0, on_waiting=lambda _: None, by_session=True):
            ledgers = {layer: Ledger(connection, schema, layer) for layer in files.sets}
            comparison.refuse_gaps(files, comparison.compare(files, ledgers))
            for ledger in ledgers.values():
                ledger.create_tables()
            return _Run(connection, ledgers, on_progress).verify(files.migrations)


class _Run:
    """One verification, and the schema that its database has."""

    def __init__(
        self, connection: Connection, ledgers: dict[str | None, Ledger], on_progress: OnProgress | None
    ) -> None:
        self._connection = connection
        self._ledgers = ledgers
        self._report = on_progress or (lambda _: None)
        self._differences: list[SchemaDifference] = []
        self._kept: list[tuple[str, str]] = []

    def verify(self, migrations: Sequence[Migration]) -> Verification:
        verified, without, at = list[str](), list[str](), 0
        schema = dump_of(self._connection)
        for at, migration in enumerate(migrations, start=1):  # noqa: B007 - the count of those that ran
            self._report(Progress("started", "apply", migration.name))
            self._run(migration, "apply")
            after = dump_of(self._connection)
            found = len(self._differences)
            if migration.rollback is None or not migration.rollback.statements:
                without.append(migration.name)
            elif not self._is_repeatable(migration, schema, after):
                self._report(Progress("failed", "apply", migration.name))
                break
            else:
                verified.append(migration.name)
            schema = after
            is_fine = found == len(self._differences)
            self._report(Progress("done" if is_fine else "failed", "apply", migration.name))
        not_run = tuple(migration.name for migration in migrations[at:])
        return Verification(
            tuple(verified), tuple(without), tuple(self._kept), not_run, tuple(self._differences)
        )

    def _is_repeatable(self, migration: Migration, before: str, after: str) -> bool:
        """Roll a migration back and apply it again; return False if that leaves no schema to go on with."""
        try:
            self._run(migration, "rollback")
        except MigrationFailedError as error:
            failure = f"the rollback failed: {error.message}"
            self._add(migration, migration.rollback_path, failure, error.place)
            return migration.rollback_transactional  # it has changed nothing
        reason = migration.rollback.header.keeps if migration.rollback else ""
        if reason and dump_of(self._connection) != before:
            self._kept.append((migration.name, reason))
        elif not reason:
            self._compare(migration, migration.rollback_path, before, "after the rollback")
        try:
            self._run(migration, "apply")
        except MigrationFailedError as error:
            failure = f"it cannot be applied again after its rollback: {error.message}"
            self._add(migration, migration.path, failure, error.place)
            return False
        self._compare(migration, migration.path, after, "after its second run")
        return True

    def _compare(self, migration: Migration, path: str, expected: str, when: str) -> None:
        for line in schema_differences(expected, dump_of(self._connection)):
            self._add(migration, path, f"{when}, {line}")

    def _add(self, migration: Migration, path: str, text: str, place: Place | None = None) -> None:
        self._differences.append(SchemaDifference(migration.name, path, text, place))

    def _run(self, migration: Migration, direction: Direction) -> None:
        limit = LockLimit()
        step = plan_step(migration, direction, limit)
        ledger = self._ledgers[migration.layer]
        execute(self._connection, step, ledger, limit=limit, done=(), report=lambda _: None)


def schema_differences(expected: str, found: str) -> Iterator[str]:
    """Yield a line for each difference of two texts of ``plainsql.migrate.schema``.

    The order of columns is none: PostgreSQL puts a column that is added again at the end.
    """
    wanted, there = objects_of(expected), objects_of(found)
    for name in sorted({*wanted, *there}):
        if name not in there:
            yield f"{name}: expected it, got none"
        elif name not in wanted:
            yield f"{name}: expected none, got it"
        else:
            yield from (f"{name}: {line}" for line in _parts(wanted[name], there[name]))


def _parts(expected: list[str], found: list[str]) -> Iterator[str]:
    """Yield the differing lines of an object: columns and constraints by their names."""
    for _, wanted, there in changed_parts(_by_name(expected), _by_name(found)):
        yield f"expected {wanted or 'none'}, got {there or 'none'}"


def _by_name(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for at, line in enumerate(lines):
        part = PART.match(line)
        # A line of another kind has the name of its first word, such as owner; the rest is a body.
        key = part[0] if part else line.partition(" ")[0]
        found[key if key not in found else f"{key} {at}"] = line
    return found


def _refuse_used(connection: Connection) -> None:
    row = connection.execute(_USED.encode()).fetchone()
    if row is not None:
        raise MigrationError(
            f"expected an empty database to verify migrations on, got one that has {row[0]}; nothing was run",
            hint="give it a new database; plainsql migrate verify makes a scratch database",
        )
