"""The names of the hazards, each with its meaning; docs/safe-migrations.md has a section for each."""

from __future__ import annotations

from typing import Final

__all__ = ["HAZARDS", "SIZED"]

HAZARDS: Final = {
    "add-column-domain": "a new column of a domain with a check: the table is rewritten to check it",
    "add-column-generated": "a new stored column: the table is rewritten to compute it",
    "add-column-identity": "a new identity column: the table is rewritten to number its rows",
    "add-column-required": "a new column that is not null and has no default: it fails if the table has rows",
    "add-column-volatile-default": "a new column whose default differs for each row: the table is rewritten",
    "add-exclusion-constraint": "an exclusion constraint: its index is built while reads and writes wait",
    "add-unique-constraint": "a unique or primary key whose index is built while reads and writes wait",
    "alter-type-rewrite": "another type of a column, for which the table or its indexes are written again",
    "attach-partition": "a table that is read to prove that its rows belong to the partition",
    "cluster": "`cluster`: the table is rewritten while reads and writes wait",
    "create-index": "an index that is built while writes wait",
    "create-partition": "a new partition: reads and writes of the whole partitioned table wait",
    "detach-partition": "a partition that is detached while reads and writes of the whole table wait",
    "drop-column": "a column that the code in production may use",
    "drop-index": "an index that is dropped while reads and writes of its table wait",
    "drop-not-null": "a column that the code in production reads as never null",
    "drop-table": "a table or view that the code in production may use",
    "lock-comment": "the `Lock:` comment of a migration contradicts its trace",
    "lock-order": "locks on several tables in one transaction: it may deadlock with the application",
    "lock-timeout-missing": "a lock that blocks the application, without a limit on the wait for it",
    "query-fails": "a query of the code in production that fails after the migration",
    "refresh-view": "a materialized view that is refreshed while its readers wait",
    "reindex": "indexes that are built again while reads and writes wait",
    "rename-column": "a column that the code in production uses by its old name",
    "rename-table": "a table or view that the code in production uses by its old name",
    "server-statement": "a statement about the whole server, which is not traced",
    "set-not-null": "all rows are read for a not null while reads and writes wait",
    "table-rewrite": "a table that is rewritten while reads and writes wait",
    "truncate": "a table that is emptied: reads and writes wait, and its rows are lost",
    "vacuum-full": "`vacuum full`: the table is rewritten while reads and writes wait",
    "validate-at-once": "all rows are read for a new constraint while writes wait",
    "whole-table-write": "all rows of a table are written in one transaction",
    "work-under-lock": "long work under a lock that blocks the application",
}
"""The hazards that a comment or a setting may allow."""

SIZED: Final = frozenset(
    {
        "add-column-domain",
        "add-column-generated",
        "add-column-identity",
        "add-column-volatile-default",
        "add-exclusion-constraint",
        "add-unique-constraint",
        "alter-type-rewrite",
        "attach-partition",
        "cluster",
        "create-index",
        "refresh-view",
        "reindex",
        "set-not-null",
        "table-rewrite",
        "vacuum-full",
        "validate-at-once",
        "whole-table-write",
        "work-under-lock",
    }
)
"""The hazards whose harm is their duration: that of a small table is none."""
