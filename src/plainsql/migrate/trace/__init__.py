"""The trace of migrations: the locks, rewrites and scans of each statement, and the hazards in them.

``plainsql.check.migration_traces.trace_migrations(project, …)`` traces the migrations of a project on a
scratch database of its own, and returns ``MigrationTrace``, one for each migration. ``trace_run`` does the
same on a connection that the caller has.
"""

from __future__ import annotations

from plainsql.migrate.trace.hazards import HAZARDS
from plainsql.migrate.trace.model import (
    BuiltIndex,
    Hazard,
    LockComment,
    MigrationTrace,
    RelationLock,
    Rewrite,
    Scan,
    StatementTrace,
    TableSize,
)
from plainsql.migrate.trace.old_queries import OldQueries, OldQuery
from plainsql.migrate.trace.traced_run import trace_run

__all__ = [
    "HAZARDS",
    "BuiltIndex",
    "Hazard",
    "LockComment",
    "MigrationTrace",
    "OldQueries",
    "OldQuery",
    "RelationLock",
    "Rewrite",
    "Scan",
    "StatementTrace",
    "TableSize",
    "trace_run",
]
