"""The ways in which a migration breaks a release that still runs; docs/releases.md has a section for each."""

from __future__ import annotations

from typing import Final

__all__ = ["RELEASE_FINDINGS", "RELEASE_HINTS"]

RELEASE_FINDINGS: Final = {
    "release-cache": "a cached result of the running release that goes stale after the migrations",
    "release-columns": "a query of the running release whose result columns the migrations change",
    "release-constraint": "a write of the running release that may violate a new constraint",
    "release-effects": "a query of the running release that does more, or sees less, after the migrations",
    "release-insert": "an insert of the running release that leaves out a column that is required now",
    "release-parameters": "a query of the running release that accepts other values after the migrations",
    "release-refused": "a query of the running release that PostgreSQL refuses after the migrations",
    "release-rows": "a query of the running release that may return more rows after the migrations",
    "release-unchecked": "a file of the running release that this version of plainsql cannot read",
}
"""The findings of ``plainsql check --release``, each with its meaning."""

RELEASE_HINTS: Final = {
    "release-cache": "release code that knows the new tables first, or clear its cache after the migration",
    "release-columns": "expand first: add another column, and change this one when no release reads it",
    "release-constraint": "add the constraint when no process writes rows that it refuses",
    "release-effects": "release code that knows of it first, then run this migration",
    "release-insert": "give the column a default, or add it nullable and set not null in a later release",
    "release-parameters": "expand first: keep what the release sends valid until no process of it runs",
    "release-refused": "release code without the query first, then run this migration",
    "release-rows": "keep the unique key until a release without the query runs",
    "release-unchecked": "check it with the version of plainsql that the release has",
}
"""One thing to do for each finding."""
