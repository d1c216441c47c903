"""The sheets of the migrations: statements, rollback, and the queries that use the tables they name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from plainsql.migrate.discovery import Folder, Migration
from plainsql.migrate.script import place_at
from plainsql.review.model.sheets import MigrationSheet, QuerySheet, RollbackProof, StatementSheet

__all__ = ["migration_sheets"]

_NAME: Final = re.compile(r'"[^"]+"|[\w$]+')
_DOTTED: Final = re.compile(r'("[^"]+"|[\w$]+)\s*\.\s*(?=("[^"]+"|[\w$]+))')


def migration_sheets(
    folder: Folder,
    queries: Iterable[QuerySheet],
    tables: Collection[str],
    proofs: Mapping[str, RollbackProof],
) -> tuple[MigrationSheet, ...]:
    """Return a sheet for each migration, layer by layer in the order of their numbers."""
    users: dict[str, set[str]] = defaultdict(set)
    for query in queries:
        for access in query.accesses:
            users[access.table].add(query.name)
    names = frozenset(tables)
    return tuple(_sheet(migration, users, names, proofs[migration.name]) for migration in folder.migrations)


def _sheet(
    migration: Migration, users: dict[str, set[str]], tables: frozenset[str], proof: RollbackProof
) -> MigrationSheet:
    source = migration.script.source
    statements = tuple(
        StatementSheet(
            statement.text,
            place_at(migration.path, source, statement.start).line,
            tuple(sorted(_tables_named(statement.text, tables))),
        )
        for statement in migration.script.statements
    )
    named = sorted({table for statement in statements for table in statement.tables})
    return MigrationSheet(
        migration.name,
        migration.path,
        source,
        migration.transactional,
        statements,
        rollback_path=migration.rollback_path if migration.rollback else "",
        rollback=migration.rollback.source if migration.rollback else "",
        proof=proof,
        tables=tuple(named),
        queries=tuple(sorted({query for table in named for query in users[table]})),
    )


def _tables_named(text: str, tables: frozenset[str]) -> Iterator[str]:
    for match in _DOTTED.finditer(text):
        name = f"{_plain(match[1])}.{_plain(match[2])}"
        if name in tables:
            yield name
    # A table of the schema that names lead to without a prefix.
    for match in _NAME.finditer(text):
        name = f"public.{_plain(match[0])}"
        if name in tables:
            yield name


def _plain(name: str) -> str:
    return name[1:-1] if name.startswith('"') else name.lower()
