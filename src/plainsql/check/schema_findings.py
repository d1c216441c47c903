"""The findings about the database that the migrations make, whatever queries there are."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from plainsql.analysis.distribution.findings import TABLE_FINDINGS
from plainsql.analysis.findings.definer_findings import SCHEMA_FINDINGS, SchemaFinding, definer_findings
from plainsql.analysis.findings.grant_lints import grant_lints
from plainsql.analysis.findings.migration_statements import MigrationAllowance, MigrationStatements
from plainsql.analysis.findings.policy_lints import policy_lints
from plainsql.analysis.findings.schema_lints import SCHEMA_LINTS, SchemaLint
from plainsql.analysis.findings.schema_versions import SchemaVersion, schema_versions
from plainsql.analysis.findings.table_lints import table_lints
from plainsql.check.problems import FINDINGS, NO_LARGE_TABLES, Problem
from plainsql.check.release.release_findings import RELEASE_FINDINGS
from plainsql.errors import Place
from plainsql.migrate.trace.hazards import HAZARDS

__all__ = ["problems_of_lints", "schema_problems"]

_OF_MIGRATIONS: Final = (*SCHEMA_FINDINGS, *SCHEMA_LINTS, *HAZARDS, *RELEASE_FINDINGS, *TABLE_FINDINGS)
"""The names that a comment in a migration may allow."""
_REASONS: Final = {
    "drop-column": "no code in production uses it any more",
    "drop-not-null": "the code in production accepts null",
    "drop-table": "no code in production uses it any more",
    "key-without-tenant": "its values are random uuids",
    "reference-without-tenant": "the rows are checked by the application",
    "table-without-tenant": "it stays on one server",
    "foreign-key-unindexed": "no row of the referenced table is deleted",
    "missing-primary-key": "rows are only added, by a log",
    "policy-hides-tenant": "all tenants are small",
    "policy-mixes-tenants": "each tenant has half of the rows",
    "policy-per-row": "it reads the column of the row",
    "policy-without-row-security": "a later migration enables it",
    "query-fails": "no code in production runs it any more",
    "redundant-index": "its size is a fraction of the other one's",
    "rename-column": "no code in production uses it any more",
    "rename-table": "no code in production uses it any more",
    "row-security-without-policy": "the owner alone reads it",
    "view-bypasses-policies": "it shows totals of all tenants",
    "wide-grant": "an administrator uses it at the prompt",
}
"""Reasons that fit a finding, for the hint about a missing one."""
_MIN_WORD_CHARS: Final = 4
"""The letters of a word by which a statement is recognised: not those of `a`, `of`, `not`."""


def schema_problems(
    connection: Any,
    migrations: Path,
    *,
    owned: bool = True,
    oldest_server: int = 0,
    lint: bool = False,
    truncated: Collection[str] = (),
    large: Mapping[str, float] = NO_LARGE_TABLES,
) -> list[Problem]:
    """Return the findings about a scratch database that no migration allows, each at its statement.

    An allowance that is no longer needed is not reported: an applied migration is not edited. A schema that
    is not ``owned`` is not read: its findings are at ``migrations``, the file or folder that makes it.
    ``oldest_server`` is the major of the oldest server in production, or 0. With ``lint``, the lints of
    the schema are among them; ``truncated`` has the tables that queries truncate, ``large`` the rows of the
    tables of which production has many, by ``schema.table``.
    """
    found = definer_findings(connection)
    newer = list(dict.fromkeys(schema_versions(connection, oldest_server))) if oldest_server else []
    lints: list[SchemaLint] = []
    if lint:
        lints += [*table_lints(connection), *policy_lints(connection, oldest_server)]
        lints += grant_lints(connection, truncated)
        lints = [each for each in lints if not each.large or each.large in large]
    if not found and not newer and not lints and not (owned and _may_allow(migrations)):
        return []
    places = MigrationStatements(migrations if owned else migrations / "none")
    return [
        *_findings(found, places, migrations),
        *(_of_version(each, oldest_server, places, migrations) for each in newer),
        *_of_lints(lints, places, migrations, large),
        *_allowances(places.allowances()),
    ]


def problems_of_lints(lints: Sequence[SchemaLint], migrations: Path, *, owned: bool) -> list[Problem]:
    """Return the lints that no migration allows, each at its statement."""
    places = MigrationStatements(migrations if owned else migrations / "none")
    return [*_of_lints(lints, places, migrations, NO_LARGE_TABLES)]


def _of_version(
    part: SchemaVersion, oldest_server: int, places: MigrationStatements, migrations: Path
) -> Problem:
    # The statement that names the object and a word of the part, or else the object.
    words = [word for word in re.findall(r"\w+", part.what) if len(word) >= _MIN_WORD_CHARS]
    found = (places.of_words(part.name, word) for word in words)
    place = next(filter(None, found), None) or places.of_words(part.name) or Place(_shown(migrations))
    return Problem(
        "server-version",
        place.path,
        place.line,
        place.column,
        f"{part.what} of {part.schema}.{part.name} needs PostgreSQL {part.major},"
        f" the oldest server is {oldest_server}",
        None,
        f"write it for PostgreSQL {oldest_server}",
        place.excerpt,
    )


def _findings(
    found: Iterable[SchemaFinding], places: MigrationStatements, migrations: Path
) -> Iterator[Problem]:
    for finding in found:
        place, allowed = places.of_function(finding.schema, finding.function, finding.body) or (
            Place(_shown(migrations)),
            [],
        )
        if any(each.finding == finding.name and each.reason for each in allowed):
            continue
        yield Problem(
            finding.name,
            place.path,
            place.line,
            place.column,
            finding.message,
            finding.detail,
            finding.hint,
            place.excerpt,
        )


def _of_lints(
    lints: Iterable[SchemaLint],
    places: MigrationStatements,
    migrations: Path,
    large: Mapping[str, float] = NO_LARGE_TABLES,
) -> Iterator[Problem]:
    for lint in lints:
        place, allowed = places.of_object(lint.words, lint.relation) or (Place(_shown(migrations)), [])
        if any(each.finding == lint.name and each.reason for each in allowed):
            continue
        yield Problem(
            lint.name,
            place.path,
            place.line,
            place.column,
            lint.message,
            f"{lint.detail}; production has about {large[lint.large]:,.0f} rows"
            if lint.large
            else lint.detail,
            lint.hint,
            place.excerpt,
        )


def _allowances(allowed: Iterable[MigrationAllowance]) -> Iterator[Problem]:
    for each in allowed:
        if each.finding not in _OF_MIGRATIONS:
            message = (
                f"{each.finding!r} is a finding of queries: nothing in a migration has it"
                if each.finding in FINDINGS
                else f"there is no finding {each.finding!r}"
            )
            close = difflib.get_close_matches(each.finding, _OF_MIGRATIONS, 1)
            hint = (
                f"did you mean {close[0]}?"
                if close
                else f"those of migrations are {', '.join(_OF_MIGRATIONS)}"
            )
        elif not each.reason:
            message = f"the reason why {each.finding} is allowed is missing"
            hint = f"write the reason after it: allow: {each.finding}: {_example_reason(each.finding)}"
        else:
            continue
        place = each.place
        yield Problem("allow", place.path, place.line, place.column, message, None, hint, place.excerpt)


def _example_reason(finding: str) -> str:
    return _REASONS.get(finding) or (
        "superusers alone may execute it" if finding in SCHEMA_FINDINGS else "the table is small"
    )


def _may_allow(migrations: Path) -> bool:
    """Return whether reading the folder into statements is worth the time."""
    if not migrations.is_dir():
        return False
    return any(b"allow" in file.read_bytes() for file in migrations.rglob("*.sql"))


def _shown(path: Path) -> str:
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)
