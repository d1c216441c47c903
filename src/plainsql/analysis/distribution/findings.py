"""The findings of ``plainsql check --distributed``, which the other checks do not report."""

from __future__ import annotations

from typing import Final

__all__ = ["DISTRIBUTION_FINDINGS", "DISTRIBUTION_HINTS", "TABLE_FINDINGS"]

TABLE_FINDINGS: Final = {
    "key-without-tenant": "a key that does not hold the distribution column",
    "reference-without-tenant": "a foreign key that does not compare the distribution column",
    "table-without-tenant": "a table that has no distribution column and is no reference table",
}
"""Those of tables, which a comment in a migration may allow."""

DISTRIBUTION_FINDINGS: Final = {
    "fans-out": "a query that reads or writes rows of several tenants",
    "tenant-unknown": "a query whose tenants are not known: a trigger or a function may use any",
    **TABLE_FINDINGS,
}
"""The findings, each with its meaning. docs/distributed.md has a section for each."""

DISTRIBUTION_HINTS: Final = {
    "fans-out": "compare the column of each table with one value",
    "tenant-unknown": "declare in the comment of the function which column it keeps to",
    "key-without-tenant": "make the key begin with the column",
    "reference-without-tenant": "add the column to both sides of the foreign key",
    "table-without-tenant": "add the column, or name the table with `--reference`",
}
"""The remedy of each finding."""
