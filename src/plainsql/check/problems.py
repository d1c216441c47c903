"""The problems that a check reports, each with its name, its place and a hint."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from plainsql.analysis.distribution.findings import DISTRIBUTION_FINDINGS, TABLE_FINDINGS
from plainsql.analysis.findings.applicable import applicable
from plainsql.check.declared_columns import unbuilt_types
from plainsql.check.digest_columns import encrypted_comparisons
from plainsql.check.nested_rows import nested_rows_without_key
from plainsql.check.statement_errors import FaultError
from plainsql.check.unviolated_constraints import unviolated_constraints
from plainsql.codegen import Checked
from plainsql.codegen.encryption import unbound_encryption
from plainsql.codegen.json_types import JsonTypes
from plainsql.errors import Place, PlainsqlError, SqlFileError, SqlFolderError
from plainsql.statements import Statement

__all__ = [
    "FINDINGS",
    "NO_LARGE_TABLES",
    "WRONG_WHEN_CACHED",
    "Edit",
    "Fix",
    "Problem",
    "findings_of",
    "problem_of",
    "problems_of_files",
]

FINDINGS: Final = {
    "cache-unsteady": "a cached query whose result depends on time, chance or one session",
    "cache-unstorable": "a cached query with a column whose values are never stored",
    "cache-untracked": "a cached query over tables whose writes plainsql does not see",
    "cast-defeats-index": "a parameter is compared through a cast that no index on the column serves",
    "children-without-key": "a list of child rows, or its parents, whose rows no proved key distinguishes",
    "conflict-without-row": "`returns: one` of an insert that returns no row for some conflicts",
    "encrypted-comparison": "a parameter is compared with a column whose values are encrypted",
    "frozen-literal": "a literal such as `'now'`, whose value is that of the moment of preparing",
    "generic-plan": "a vector search with a constant limit, and a filter by a parameter or a tenant",
    "hidden-writes": "a write whose trigger or function may write any table, if results are cached",
    "insert-fails": "an insert that leaves out a column that refuses null and has no default",
    "json-type": "a JSON column whose declared type is not what the query builds",
    "limited-children": "a limit on joined rows, which can cut off some children of a parent",
    "nested-without-key": "a nested row of an outer join that looks like no match",
    "not-in-nullable": "`not in` over nullable values",
    "partial-order": "rows that a limit cuts off are ordered only in part",
    "server-version": "a function or grammar that the oldest server in production does not have",
    "session-time-zone": "a timestamp and one with time zone: the result depends on the session's time zone",
    "star": "`select *` or `returning *`: the columns of the result are those that a table has when it runs",
    "unbound-encryption": "an encrypted value may be written into another row than the one it is bound to",
    "unbounded": "a `many` without a limit and without a key that bounds it",
    "unproved-one": "`returns: one` or `optional` that no unique key, limit or aggregate proves",
    "unused-parameter": "a parameter that changes nothing",
    "unviolated-constraint": "`error NAME: Class` of a constraint that the query cannot violate",
    "vector-dimension": "vectors of different dimensions that are compared or cast",
    "vector-index": "a vector search that no index has all rows of, or none is on its expression",
    "vector-order": "a search with a relaxed iterative scan whose rows nothing sorts again",
    "vector-operator": "an order by a distance in a form that the index of the column does not serve",
}
"""The findings that a header may allow, each with its meaning. docs/findings.md has a section for each."""

_CUSTOM: Final = "force_custom_plan"

NO_LARGE_TABLES: Final[Mapping[str, float]] = MappingProxyType({})
"""The tables of which production has many rows, if no statistics are known."""

WRONG_WHEN_CACHED: Final = frozenset(["cache-unsteady", "cache-untracked"])
"""Findings about cached queries that ``generate`` refuses as ``check`` does, unless the header allows
them.
"""


class Edit(msgspec.Struct, frozen=True):
    """A part of a file's text, and what replaces it. Lines and columns begin at 1; the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int
    text: str


class Fix(msgspec.Struct, frozen=True):
    """The change of the file that removes a problem."""

    title: str
    edits: tuple[Edit, ...]


class Problem(msgspec.Struct, frozen=True):
    """One problem that a check reports."""

    name: str
    """A finding's name, or ``sql-file``, ``refused``, ``contract``, ``fault``, ``fragment``,
    ``outdated``, ``allow``, ``baseline``, ``settings``."""
    path: str
    line: int
    column: int
    message: str
    detail: str | None = None
    hint: str | None = None
    excerpt: str = ""
    fix: Fix | None = None
    """The change that removes it; see ``check/quick_fixes.py``."""

    def __str__(self) -> str:
        place = Place(self.path, self.line, self.column, self.excerpt)
        return str(
            PlainsqlError(f"{self.message} [{self.name}]", place=place, detail=self.detail, hint=self.hint)
        )

    @property
    def order(self) -> tuple[str, int, int, str]:
        return (self.path, self.line, self.column, self.name)


def problem_of(error: PlainsqlError, name: str) -> Problem:
    """Turn an error into a problem."""
    place = error.place or Place("")
    return Problem(
        name, place.path, place.line, place.column, error.message, error.detail, error.hint, place.excerpt
    )


def problems_of_files(error: SqlFileError) -> list[Problem]:
    """Turn the error about the files of a folder into problems."""
    errors = error.errors if isinstance(error, SqlFolderError) else (error,)
    return [problem_of(one, "sql-file") for one in errors]


def refusal(error: PlainsqlError) -> Problem:
    """Turn a refusal of the server, a contradiction with the header, or a fault of plainsql into a
    problem.
    """
    if isinstance(error, FaultError):
        return problem_of(error, "fault")
    return problem_of(error, "refused" if getattr(error, "sqlstate", None) else "contract")


def _plans_each_call(statement: Statement) -> bool:
    """Return whether the header makes PostgreSQL plan with the values of each call."""
    return any(each.name == "plan_cache_mode" and each.value == _CUSTOM for each in statement.settings)


def _may_set(statement: Statement, name: str, value: str) -> bool:
    """Return whether the header gives a setting a value, or leaves its value to the call."""
    return any(
        each.name == name and (each.value is None or each.value.lower() == value)
        for each in statement.settings
    )


def findings_of(
    checked: Checked,
    *,
    caches: bool = False,
    json_types: JsonTypes | None = None,
    large: Mapping[str, float] = NO_LARGE_TABLES,
    encrypted: Collection[str] = (),
) -> Iterable[Problem]:
    """Yield the findings about a statement that its header does not allow, and the errors in its allowances.

    ``caches`` is true if any query of the project is cached. ``json_types`` are the types that headers may
    name; without them, none is compared with the JSON that a query builds. ``large`` has the rows of the
    tables of which production has many, by ``schema.table``. ``encrypted`` are the columns that headers of
    the project call encrypted, as ``schema.table.column``.
    """
    statement = checked.statement
    allowed = {allowance.finding: allowance for allowance in statement.allow}
    used: set[str] = set()
    seen: set[tuple[str, int, int, str]] = set()
    cached = statement.cache is not None
    for analysis, variant in zip(checked.variants, checked.texts, strict=True):
        found = applicable(analysis, statement.returns.kind, cached=cached, caches=caches)
        for finding in (
            *found,
            *unbound_encryption(statement, analysis),
            *encrypted_comparisons(statement, analysis, encrypted),
            *nested_rows_without_key(statement, analysis),
        ):
            place = (
                variant.place(finding.position)
                if finding.position
                else Place(statement.path, statement.body_line)
            )
            # A finding about the whole statement is reported once for each message.
            key = (finding.name, place.line, place.column, "" if finding.position else finding.message)
            if finding.name == "unbounded" and statement.paged:
                continue  # its pages bound the rows
            if finding.name == "generic-plan" and _plans_each_call(statement):
                continue
            if finding.setting is not None and not _may_set(statement, *finding.setting):
                continue
            if finding.name in allowed:
                used.add(finding.name)
            elif finding.large and finding.large not in large:
                continue
            elif key not in seen:  # once, however many variants have it
                seen.add(key)
                yield Problem(
                    finding.name,
                    place.path,
                    place.line,
                    place.column,
                    finding.message,
                    f"production has about {large[finding.large]:,.0f} rows" if finding.large else None,
                    finding.hint or None,
                    place.excerpt,
                )
    unbuilt = unbuilt_types(checked, json_types) if json_types is not None else ()
    for finding, place in (*unviolated_constraints(checked), *unbuilt):
        if finding.name in allowed:
            used.add(finding.name)
        else:
            yield Problem(
                finding.name,
                place.path,
                place.line,
                place.column,
                finding.message,
                None,
                finding.hint,
                place.excerpt,
            )
    for name, allowance in allowed.items():
        place = allowance.place
        if name in DISTRIBUTION_FINDINGS and name not in TABLE_FINDINGS:
            continue  # only ``check --distributed`` finds them
        if name not in FINDINGS:
            close = difflib.get_close_matches(name, FINDINGS, 1)
            hint = f"did you mean {close[0]}?" if close else f"the findings are {', '.join(FINDINGS)}"
            message = f"there is no finding {name!r}"
        elif name not in used:
            message, hint = f"allows {name!r}, which is not found here", "remove the line"
        else:
            continue
        yield Problem("allow", place.path, place.line, place.column, message, None, hint, place.excerpt)
