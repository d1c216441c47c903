"""The content of a comparison with a git ref, in plain structs; the worst changes are first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct

__all__ = [
    "DIFFERENCES",
    "SEVERITIES",
    "ChangedFile",
    "Changes",
    "Difference",
    "QueryChange",
    "Severity",
]

Severity = Literal["breaks", "watch", "note"]

SEVERITIES: Final[dict[Severity, str]] = {
    "breaks": "callers may break",
    "watch": "the database does more, or other things",
    "note": "callers and the database go on as before",
}
"""The severities, the worst first, each with its meaning."""

DIFFERENCES: Final[dict[str, tuple[Severity, str]]] = {
    "refused": ("breaks", "does not pass the check any more: {because}"),
    "column-nullable": ("breaks", "column {subject} may be null now: {because}"),
    "column-type": ("breaks", "column {subject} changed from {before} to {after}"),
    "parameter-type": ("breaks", "parameter {subject} changed from {before} to {after}"),
    "gone": ("breaks", "is gone"),
    "renamed": ("breaks", "was {before}, with the same SQL"),
    "column-gone": ("breaks", "column {subject} of type {before} is gone"),
    "rows": ("breaks", "returns {after} now, and {before} before"),
    "parameter-new": ("breaks", "parameter {subject} of type {after} is new and required"),
    "parameter-gone": ("breaks", "parameter {subject} is gone"),
    "parameter-not-null": ("breaks", "parameter {subject} refuses null now: {because}"),
    "parameter-required": ("breaks", "parameter {subject} is required now"),
    "write-new": ("watch", "{after} of {subject} is new"),
    "plan-worse": ("watch", "its committed plan is worse: {because}"),
    "plan": ("watch", "its committed plan is another one: {because}"),
    "not-read-only": ("watch", "is not proved to be read-only any more: {because}"),
    "not-session-clean": ("watch", "may leave something behind in its session now: {because}"),
    "not-by-key": ("watch", "does not read by a unique key any more"),
    "row-security-new": ("watch", "row-level security of {subject} selects its rows now"),
    "parameter-bounds": ("watch", "parameter {subject} accepts {after} now, and {before} before"),
    "parameter-default": ("watch", "parameter {subject} has the default {after} now, and {before} before"),
    "finding-new": ("watch", "finding {subject} is new: {because}"),
    "invalidation-gone": ("watch", "does not end cached results of {subject} any more"),
    "dependency-gone": ("watch", "its cached result does not depend on {subject} any more"),
    "setting": ("watch", "setting {subject} is {after} now, and {before} before"),
    "setting-new": ("watch", "sets {subject} to {after} now"),
    "setting-gone": ("watch", "does not set {subject} any more; it was {before}"),
    "cache": ("watch", "is cached for {after} now, and {before} before"),
    "invalidation-new": ("watch", "ends cached results of {subject} now"),
    "dependency-new": ("watch", "its cached result depends on {subject} now"),
    "read-new": ("watch", "reads {subject} now"),
    "row-security-gone": ("watch", "row-level security of {subject} does not select its rows any more"),
    "unknown": ("watch", "had an error at the ref: {because}"),
    "write-gone": ("note", "{before} of {subject} is gone"),
    "read-gone": ("note", "does not read {subject} any more"),
    "read-only": ("note", "is proved to be read-only now"),
    "session-clean": ("note", "is proved to leave nothing behind in its session now"),
    "by-key": ("note", "reads by a unique key now"),
    "plan-better": ("note", "its committed plan is better: {because}"),
    "column-not-null": ("note", "column {subject} is never null now: {because}"),
    "column-new": ("note", "column {subject} of type {after} is new"),
    "parameter-optional-new": ("note", "parameter {subject} of type {after} is new and optional"),
    "parameter-optional": ("note", "parameter {subject} is optional now"),
    "parameter-nullable": ("note", "parameter {subject} accepts null now: {because}"),
    "finding-gone": ("note", "finding {subject} is gone: {because}"),
    "text": ("note", "its SQL changed"),
    "new": ("note", "is new: {after}"),
    "header": ("note", "its header or its comment changed"),
}
"""The kinds of differences of a query, the worst first: the severity and the sentence of each.

The fields in braces are those of ``Difference``.
"""


class Difference(Struct, frozen=True):
    """One difference of a query between the ref and now."""

    kind: str
    """A key of ``DIFFERENCES``."""
    subject: str = ""
    """The column, parameter, setting, table or finding that differs; empty for the whole query."""
    before: str = ""
    after: str = ""
    because: str = ""
    """The reason, in one phrase."""

    @property
    def severity(self) -> Severity:
        return DIFFERENCES[self.kind][0]

    @property
    def rank(self) -> int:
        """The place in ``DIFFERENCES``; the worst has the least."""
        return _RANKS[self.kind]

    def sentence(self, name: Callable[[str], str] = str) -> str:
        """Return the difference as a sentence without its subject; ``name`` writes each foreign text."""
        return DIFFERENCES[self.kind][1].format(
            subject=name(self.subject),
            before=name(self.before),
            after=name(self.after),
            because=name(self.because),
        )


_RANKS: Final = {kind: rank for rank, kind in enumerate(DIFFERENCES)}


class QueryChange(Struct, frozen=True):
    """The differences of one query."""

    name: str
    """The name now; of a query that is gone, the name that it had."""
    path: str
    """The file below the project's root."""
    kind: Literal["new", "gone", "renamed", "changed"]
    differences: tuple[Difference, ...]
    """At least one, the worst first."""
    diff: tuple[str, ...] = ()
    """The unified diff of its file without the lines of names; empty if the text is the same."""

    @property
    def severity(self) -> Severity:
        return self.differences[0].severity

    @property
    def by_schema(self) -> bool:
        """True if its text is the same, and the schema changed it. The project may set another time."""
        return (
            self.kind == "changed"
            and not self.diff
            and any(difference.kind != "cache" for difference in self.differences)
        )


class ChangedFile(Struct, frozen=True):
    """A migration or a committed plan that is new, gone, or has another text."""

    path: str
    """The file below the project's root."""
    kind: Literal["new", "gone", "changed"]
    diff: tuple[str, ...] = ()
    """The unified diff without the lines of names; empty for a file that is gone."""


class Changes(Struct, frozen=True):
    """The changes of a project since a git ref."""

    ref: str
    """The ref as it was given."""
    commit: str
    """The whole hash of its commit."""
    date: str
    """The day of that commit in UTC, as ``2026-01-31``."""
    subject: str
    """The first line of its message."""
    queries: tuple[QueryChange, ...] = ()
    """The worst first; those of one rank in the order of their names."""
    migrations: tuple[ChangedFile, ...] = ()
    """Changed and missing ones first, then the new ones; rollbacks are left out."""
    plans: tuple[ChangedFile, ...] = ()
    findings_new: tuple[str, ...] = ()
    """Findings about the schema and the settings, each with its name in brackets at the end."""
    findings_gone: tuple[str, ...] = ()
    unchanged: int = 0
    """The number of queries without a difference."""
    notes: tuple[str, ...] = ()
    """The parts that could not be compared, each with the reason."""

    @property
    def is_empty(self) -> bool:
        """True if nothing differs."""
        found = (self.queries, self.migrations, self.plans, self.findings_new, self.findings_gone)
        return not any(found)
