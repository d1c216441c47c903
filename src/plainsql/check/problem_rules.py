"""The rules behind the names of problems: the meaning of each, and what to do."""

from __future__ import annotations

from typing import Final, NamedTuple

from plainsql.analysis.distribution.findings import DISTRIBUTION_FINDINGS, DISTRIBUTION_HINTS
from plainsql.analysis.findings.definer_findings import SCHEMA_FINDINGS
from plainsql.analysis.findings.schema_lints import SCHEMA_LINTS
from plainsql.check.problems import FINDINGS
from plainsql.check.release.release_findings import RELEASE_FINDINGS, RELEASE_HINTS
from plainsql.migrate.trace.hazards import HAZARDS

__all__ = ["ERRORS", "RULES", "Rule"]


class Rule(NamedTuple):
    """The kind of a problem, for readers who see one result and not the documentation."""

    meaning: str
    remedy: str


ERRORS: Final = {
    "allow": Rule(
        "An allowance names no finding, or one that is not there.",
        "Correct the name, or remove the line or the entry of pyproject.toml.",
    ),
    "baseline": Rule(
        "The baseline has a finding that is gone.",
        "Remove its line, or run `plainsql check --prune-baseline`.",
    ),
    "contract": Rule("The query does not return what its header says.", "Change the header, or the query."),
    "fault": Rule(
        "plainsql itself fails on the query; the other files are checked anyway.",
        "Report it with the query.",
    ),
    "fragment": Rule(
        "A copy of a fragment is not what the fragment makes, or a mark of one is wrong.",
        "Run `plainsql generate`, or correct the mark.",
    ),
    "outdated": Rule("A generated module does not match the SQL.", "Run `plainsql generate`."),
    "refused": Rule("PostgreSQL refuses the query.", "Correct the SQL: it cannot run on this schema."),
    "settings": Rule(
        "A setting of pyproject.toml has no effect.",
        "Remove its entry.",
    ),
    "sql-file": Rule(
        "The file cannot be loaded: its name, its header or its parameters are wrong.",
        "Correct the file as the message says.",
    ),
}
"""The problems that no header, no setting and no baseline accepts."""

_REMEDIES: Final = {
    "cache-unsteady": "Pass the time as a parameter, truncated to what you need, or remove `cache:`.",
    "cache-unstorable": "Select the parts of the value or its text, or remove the `cache:` line.",
    "cache-untracked": "Write out what a function reads, or declare it in a migration.",
    "cast-defeats-index": "Cast the other side, or compare with a range.",
    "children-without-key": "Select the key of the parent and of each list that has lists or siblings.",
    "conflict-without-row": "Declare `returns: optional`, or let the conflict update the row.",
    "definer-search-path": "Set its search_path in a new migration, and let it end in pg_temp.",
    "definer-trigger": "Revoke the right to execute it from public; existing triggers fire without it.",
    "encrypted-comparison": "Store a digest beside the value, and search that: `encrypted, searchable`.",
    "foreign-key-unindexed": "Create an index that begins with its columns.",
    "frozen-literal": "Write the function, `now()` or `current_date`, which is evaluated in each call.",
    "generic-plan": "Make the limit a parameter: PostgreSQL then keeps planning with the values.",
    "hidden-writes": "Declare in a migration what it writes.",
    "insert-fails": "Insert a value for it, or give the column a default in a migration.",
    "json-type": "Change the type or the query, or remove the line: a type is generated.",
    "limited-children": "Limit the parents in a subquery, and join the children to it.",
    "missing-primary-key": "Add a primary key, or choose a replica identity.",
    "nested-without-key": "Select a column that is never null, such as the key.",
    "not-in-nullable": "Write `not exists`, or exclude the nulls.",
    "partial-order": "End the `order by` in a unique key, so that the same rows come back each time.",
    "policy-hides-tenant": "Compare with the call itself, and partition the table by its tenant.",
    "policy-mixes-tenants": "Partition the table by its tenant, or compare with a sub-select.",
    "policy-per-row": "Write the call as a sub-select: `(select f())`.",
    "policy-without-row-security": "Enable row level security for the table.",
    "redundant-index": "Drop it.",
    "row-security-without-policy": "Create a policy, or disable row level security.",
    "server-version": "Write it for the oldest server, or raise `server` in pyproject.toml.",
    "session-time-zone": "Name the time zone of the timestamp: `at time zone 'UTC'`.",
    "star": "List the columns.",
    "unbound-encryption": "Compare the row's key with the parameters that the value is bound to.",
    "unbounded": "Add a limit, or compare the leading column of an index with a parameter.",
    "unproved-one": "Compare a unique key for equality, add a limit, or declare `returns: many`.",
    "unused-parameter": "Remove it, or use it where it changes the result.",
    "unviolated-constraint": "Correct the name of the constraint, or remove the line.",
    "vector-dimension": "Use vectors of one dimension: PostgreSQL refuses every call.",
    "vector-index": "Order by the expression of the index and state its condition, or make an index.",
    "vector-operator": "Order by the bare operator of the index, or make an index for this one.",
    "vector-order": "Sort the found rows again outside, by the distance + 0.",
    "view-bypasses-policies": "Set security_invoker on the view.",
    "wide-grant": "Grant what the queries need: `plainsql grants` prints it.",
}


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


RULES: Final = {
    **ERRORS,
    **{
        name: Rule(_sentence(meaning), _REMEDIES.get(name, "The documentation has an example."))
        for name, meaning in sorted({**FINDINGS, **SCHEMA_FINDINGS, **SCHEMA_LINTS}.items())
    },
    **{
        name: Rule(_sentence(meaning), _sentence(RELEASE_HINTS[name]))
        for name, meaning in RELEASE_FINDINGS.items()
    },
    **{
        name: Rule(_sentence(meaning), _sentence(DISTRIBUTION_HINTS[name]))
        for name, meaning in DISTRIBUTION_FINDINGS.items()
    },
    **{
        name: Rule(_sentence(meaning), "The page of safe migrations has the safe way.")
        for name, meaning in HAZARDS.items()
    },
}
"""The errors, the findings, the breaks of a release, those of a distribution, then the hazards of migrations.

docs/findings.md has a section for each finding, docs/releases.md one for each break of a release,
docs/distributed.md one for each finding of a distribution,
docs/safe-migrations.md one for each hazard.
"""
