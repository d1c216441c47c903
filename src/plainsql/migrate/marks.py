"""``migrate mark``: the checks before a migration is recorded by hand, and the record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plainsql.errors import MigrationError
from plainsql.migrate.connection import Connection
from plainsql.migrate.discovery import Folder, Migration
from plainsql.migrate.invalid_index import invalid_indexes
from plainsql.migrate.ledger import Ledger
from plainsql.migrate.plan import Ledgers
from plainsql.migrate.results import MigrationStatus, Status
from plainsql.migrate.script import Script

__all__ = ["Mark", "find_baseline", "find_marked", "plan_mark"]


@dataclass(frozen=True, slots=True)
class Mark:
    """One migration, and the record to write for it."""

    name: str
    layer: str | None
    id: str
    applied: bool
    """True to record that it is applied, False that it is not."""
    before: MigrationStatus
    """The state before."""
    checksum: str | None
    """The checksum of its file; ``None`` if the file is gone."""

    def record(self, ledger: Ledger) -> None:
        """Write the record, in the open transaction."""
        if not self.applied:
            ledger.unmark(self.id, by_hand=True)
        elif self.before.marked:
            ledger.note(self.id, self.checksum or "", "applied")
        else:
            ledger.mark(self.id, self.checksum or "", None, by_hand=True)


def find_marked(files: Folder, status: Status, wanted: str) -> list[MigrationStatus]:
    """Return the migration that ``0003``, ``0003_add_index`` or ``realty/0003`` means; its file may be gone.

    Raises ``MigrationError`` if it means none, or several of different layers.
    """
    by_name = {item.name: item for item in status.migrations}
    name = wanted if wanted in by_name else files.find(wanted).name
    return [by_name[name]]


def find_baseline(files: Folder, status: Status, to: str) -> list[MigrationStatus]:
    """Return the migrations of a layer up to one of them that are not applied.

    Raises ``MigrationError`` if there is no such migration, or if all of them are applied.
    """
    target = files.find(to)
    found = [
        item
        for item in status.migrations
        if item.layer == target.layer and item.id <= target.id and item.state in ("pending", "interrupted")
    ]
    if not found:
        raise MigrationError(
            f"{target.name}: applied is already recorded of it and of all before it",
            hint="see 'plainsql migrate status'",
        )
    return found


def plan_mark(
    connection: Connection,
    files: Folder,
    wanted: Sequence[MigrationStatus],
    ledgers: Ledgers,
    *,
    applied: bool,
    force: bool,
) -> tuple[Mark, ...]:
    """Return the marks to record, in the order of the numbers.

    Raises ``MigrationError`` if it is recorded already, if its file is needed and gone, if an earlier one is
    not applied, or if the database contradicts it and ``force`` is not set.
    """
    known = {migration.name: migration for migration in files.migrations}
    marks = []
    for item in wanted:
        migration = known.get(item.name)
        _refuse_needless(item, applied=applied)
        if applied:
            if migration is None:
                raise MigrationError(
                    f"{item.name}: its file is gone",
                    hint="restore it from version control; to forget the migration: "
                    f"plainsql migrate mark --not-applied {item.name}",
                )
            _refuse_earlier(migration, files, ledgers, {each.name for each in wanted})
        if migration is not None and not force:
            _refuse_untrue(connection, migration, applied=applied)
        checksum = migration.checksum if migration else None
        marks.append(Mark(item.name, item.layer, item.id, applied, item, checksum))
    return tuple(marks)


def _refuse_needless(item: MigrationStatus, *, applied: bool) -> None:
    if item.state == ("applied" if applied else "pending"):
        raise MigrationError(
            f"{item.name}: {'applied' if applied else 'not applied'} is already recorded of it",
            hint="see 'plainsql migrate status'",
        )


def _refuse_earlier(migration: Migration, files: Folder, ledgers: Ledgers, marked: set[str]) -> None:
    applied = ledgers[migration.layer].applied()
    for earlier in files.sets[migration.layer]:
        if earlier.number >= migration.number:
            return
        if earlier.id not in applied and earlier.name not in marked:
            raise MigrationError(
                f"{earlier.name} comes before {migration.name}, and is not applied",
                hint=f"mark it too: plainsql migrate mark --to {migration.name}; "
                f"or apply it: plainsql migrate --to {earlier.name}",
            )


def _refuse_untrue(connection: Connection, migration: Migration, *, applied: bool) -> None:
    """Compare the objects that the file creates, as far as its text names them, with the database."""
    if applied:
        for index in invalid_indexes(connection, migration.script):
            raise MigrationError(
                f"{migration.name}: the index {index} is invalid, so it is not applied",
                hint=f"drop index concurrently {index}; then run plainsql migrate",
            )
    made = list(_made(migration.script))
    there = {name: _exists(connection, kind, name) for kind, name in made}
    wrong = [f"{kind} {name}" for kind, name in made if there[name] is not applied]
    if wrong and applied:
        raise MigrationError(
            f"{migration.name}: its objects are missing: {', '.join(wrong)}",
            hint="apply it with 'plainsql migrate'; or record it anyway with --force",
        )
    if wrong:
        raise MigrationError(
            f"{migration.name}: its objects exist: {', '.join(wrong)}",
            hint="drop it first, or the next run fails on it; or record it anyway with --force",
        )


_LOOKUPS = {
    "table": "to_regclass",
    "view": "to_regclass",
    "sequence": "to_regclass",
    "schema": "to_regnamespace",
    "type": "to_regtype",
    "domain": "to_regtype",
}

# The name of an index has no schema in the text: it is that of its table.
_INDEX = """
select exists (
  select from pg_class as c where c.relkind in ('i', 'I') and c.relname = (parse_ident(%s))[1]
)
"""


def _exists(connection: Connection, kind: str, name: str) -> bool:
    query = _INDEX if kind == "index" else f"select {_LOOKUPS[kind]}(%s) is not null"
    row = connection.execute(query.encode(), (name,)).fetchone()
    return row is not None and row[0] is True


def _made(script: Script) -> Iterator[tuple[str, str]]:
    """Yield the kind and name of each object that a script creates and does not drop again.

    Only objects that its text names plainly: none of a script that changes the search_path or the schema of
    a name, none that is created only if it does not exist, and no temporary one.
    """
    statements = script.statements
    if any("search_path" in each.text.lower() for each in statements):
        return
    for at, statement in enumerate(statements):
        kind, name = statement.made or ("", "")
        if kind != "index" and kind not in _LOOKUPS:
            continue
        bare = name.rpartition(".")[2].strip('"').lower()
        # A later statement drops, renames or moves an object of that name.
        if any(
            {"drop", "rename", "schema", "execute"} & set(later.words) and bare in later.text.lower()
            for later in statements[at + 1 :]
        ):
            continue
        yield kind, name
