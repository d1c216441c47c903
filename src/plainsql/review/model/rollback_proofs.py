"""The proofs of the rollbacks: each migration goes up, down and up again, and the schema is compared.

The outcome is kept in a file until a migration, a rollback, the server or the code has changed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from importlib.resources import files

import msgspec

import plainsql.migrate
from plainsql.analysis.scratch_database import empty_databases, scratch_server, url_of
from plainsql.migrate.discovery import Folder, Migration
from plainsql.migrate.reversibility import Verification, verify
from plainsql.review.model.kept_results import kept_file, modules_in, read_kept, write_kept
from plainsql.review.model.sheets import RollbackDifference, RollbackProof
from plainsql.settings import Project

__all__ = ["rollback_proofs", "unknown_proofs"]


class _Kept(msgspec.Struct):
    """The content of the file."""

    made_from: str
    """The digest of everything that the outcome depends on."""
    outcome: Verification


def rollback_proofs(
    project: Project, folder: Folder, scratch: str | None = None, *, no_cache: bool = False
) -> dict[str, RollbackProof]:
    """Return the proof of each migration's rollback by the migration's name.

    Args:
        project: the settings of the project, whose schema is plainsql's.
        folder: its migrations.
        scratch: a database of the server to verify them on; by default as ``scratch_database``.
        no_cache: verify them again.

    Raises what ``verify`` and ``scratch_database`` raise.
    """
    file = kept_file(project, "rollbacks")
    with scratch_server(scratch, project) as (_, connection):
        made_from = _digest(folder, connection.info.server_version)
    kept = None if no_cache else read_kept(file, _Kept)
    if kept is None or kept.made_from != made_from:
        with empty_databases(scratch, project=project) as new_database, new_database() as connection:
            kept = _Kept(made_from, verify(url_of(connection), project.migrations_folder))
        write_kept(file, kept)
    return _proofs(folder, kept.outcome)


def unknown_proofs(folder: Folder, reason: str) -> dict[str, RollbackProof]:
    """Return the proofs if the verification cannot run, for a reason."""
    unknown = RollbackProof("unknown", reason)
    return {
        migration.name: unknown if _has_rollback(migration) else RollbackProof("none")
        for migration in folder.migrations
    }


def _proofs(folder: Folder, outcome: Verification) -> dict[str, RollbackProof]:
    differences: dict[str, list[RollbackDifference]] = defaultdict(list)
    for each in outcome.differences:
        # The path is relative to the working folder of the run that was kept.
        in_rollback = each.path.endswith(".rollback.sql")
        line = f" (line {each.place.line})" if each.place and each.place.line else ""
        differences[each.migration].append(RollbackDifference(each.text + line, in_rollback))
    kept = dict(outcome.kept)
    return {each.name: _proof(each, differences, kept, outcome) for each in folder.migrations}


def _proof(
    migration: Migration,
    differences: Mapping[str, list[RollbackDifference]],
    kept: Mapping[str, str],
    outcome: Verification,
) -> RollbackProof:
    name = migration.name
    if name in differences:
        return RollbackProof("wrong", differences=tuple(differences[name]))
    if not _has_rollback(migration):
        return RollbackProof("none")
    if name in outcome.not_run:
        return RollbackProof("unknown", "a migration before it cannot be applied again")
    return RollbackProof("keeps", kept[name]) if name in kept else RollbackProof("proved")


def _has_rollback(migration: Migration) -> bool:
    return migration.rollback is not None and bool(migration.rollback.statements)


def _digest(folder: Folder, server_version: int) -> str:
    digest = hashlib.blake2b(f"{server_version}".encode(), digest_size=16)
    for migration in folder.migrations:
        rollback = migration.rollback.source if migration.rollback is not None else None
        digest.update(msgspec.msgpack.encode((migration.name, migration.script.source, rollback)))
    for module in modules_in(files(plainsql.migrate)):
        digest.update(module.read_bytes())
    return digest.hexdigest()
